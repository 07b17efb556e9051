"""Tests of plans: a small simulator of blocksworld-4ops accepts them."""

import collections
import itertools
import types

import numpy as np
import pytest

from alphallm import tasks
from alphallm.tasks import blocks_world, pddl, plans

TASK = tasks.BlocksWorld(min_blocks=3, max_blocks=4)

PDDL = """(define (problem {name}) (:domain blocksworld-4ops)
  (:objects red green blue)
  (:init (handempty) (ontable red) (on green red) (clear green)
    (ontable blue) (clear blue))
  (:goal (and (on red blue) (on blue green))))"""


def simulate(facts, actions):
  """Apply actions of blocksworld-4ops to a set of facts, or fail."""
  facts = set(facts)

  def change(needs, adds):
    assert needs <= facts, f"{needs - facts} do not hold"
    facts.difference_update(needs)
    facts.update(adds)

  hand = ("handempty",)
  for action in actions:
    match action:
      case ("pick-up", a):
        change({("clear", a), ("ontable", a), hand}, {("holding", a)})
      case ("put-down", a):
        change({("holding", a)}, {("clear", a), ("ontable", a), hand})
      case ("unstack", a, b):
        change(
          {("clear", a), ("on", a, b), hand}, {("holding", a), ("clear", b)}
        )
      case ("stack", a, b):
        change(
          {("holding", a), ("clear", b)}, {("clear", a), ("on", a, b), hand}
        )
      case _:
        pytest.fail(f"no such action: {action}")
  return facts


def facts_of(names, on):
  """Return what holds where each block stands on what `on` says."""
  present = [i for i in range(len(on)) if on[i] != blocks_world.ABSENT]
  facts = {("handempty",)}
  for i in present:
    below = int(on[i])
    facts.add(
      ("ontable", names[i]) if below < 0 else ("on", names[i], names[below])
    )
    if i not in on:
      facts.add(("clear", names[i]))
  return facts


def read_plan(path):
  lines = path.read_text().splitlines()
  assert all(line[0] == "(" and line[-1] == ")" for line in lines)
  return [tuple(line[1:-1].split()) for line in lines]


def shortest(on, goal):
  """Return the steps of a shortest solution, by breadth-first search."""
  start = tuple(map(int, on))
  came = {start: None}
  queue = collections.deque([start])
  while queue:
    at = queue.popleft()
    if all(
      g == blocks_world.ANY or g == o for o, g in zip(at, goal, strict=True)
    ):
      break
    blocks = [i for i, o in enumerate(at) if o != blocks_world.ABSENT]
    clear = [i for i in blocks if i not in at]
    for block, to in itertools.product(clear, [*clear, blocks_world.TABLE]):
      after = at[:block] + (to,) + at[block + 1 :]
      if block != to and after not in came:
        name = blocks_world.LETTERS
        step = name[block] + ("-" if to < 0 else name[to]) + "\n"
        came[after] = (at, step)
        queue.append(after)
  steps = []
  while came[at]:
    at, step = came[at]
    steps.insert(0, step)
  return steps


def solve(problems, unsolved=()):
  """Return episodes that solve all problems but some."""
  steps = np.zeros((len(problems.on), 2 * TASK.max_blocks + 1, 3), np.int32)
  lengths = np.zeros(len(steps), np.int32)
  for i, (on, goal) in enumerate(zip(problems.on, problems.goal, strict=True)):
    found = shortest(on, goal)
    lengths[i] = len(found)
    for j, step in enumerate(found):
      steps[i, j] = [TASK.tokenizer.id(c) for c in step]
  return types.SimpleNamespace(
    solved=np.array([i not in unsolved for i in range(len(steps))]),
    steps=steps,
    step_lengths=np.full(steps.shape[:2], 3),
    num_steps=lengths,
  )


def test_a_simulator_accepts_plans_of_drawn_problems(tmp_path):
  problems = TASK.sample_numpy(np.random.default_rng(0), 40, "test")
  written = plans.write(
    TASK, problems, solve(problems, unsolved=(3,)), None, tmp_path / "plans"
  )
  assert written == 39 == len(list((tmp_path / "plans").iterdir()))
  for i in set(range(40)) - {3}:
    names = blocks_world.LETTERS
    end = simulate(
      facts_of(names, problems.on[i]),
      read_plan(tmp_path / "plans" / f"problem-{i}.plan"),
    )
    for block, below in enumerate(problems.goal[i]):
      if below >= 0:
        assert ("on", names[block], names[below]) in end
      elif below == blocks_world.TABLE:
        assert ("ontable", names[block]) in end


def test_plans_are_in_the_names_of_the_problem(tmp_path):
  source = tmp_path / "set"
  for part in ("one", "two"):
    (source / part).mkdir(parents=True)
    (source / part / "p-1.pddl").write_text(PDDL.format(name=part))
  problems = TASK.read_problems(source)
  out = tmp_path / "plans"
  assert plans.write(TASK, problems, solve(problems), source, out) == 2
  assert sorted(p.name for p in out.iterdir()) == [
    "set-one-p-1.plan",
    "set-two-p-1.plan",
  ]
  [(_, problem)] = pddl.read(source / "one" / "p-1.pddl")
  on = [
    problem.names.index(below) if below in problem.names else blocks_world.TABLE
    for below in (problem.on[name] for name in problem.names)
  ]
  end = simulate(
    facts_of(problem.names, on), read_plan(out / "set-one-p-1.plan")
  )
  assert {("on", "red", "blue"), ("on", "blue", "green")} <= end


def test_no_plan_replaces_another(tmp_path):
  source = tmp_path / "set"
  for part in ("a", "b"):
    (source / part / "same").mkdir(parents=True)
    (source / part / "same" / "p.pddl").write_text(PDDL.format(name=part))
  problems = TASK.read_problems(source)
  out = tmp_path / "plans"
  written = plans.write(TASK, problems, solve(problems), source, out)
  assert written == len(list(out.iterdir())) == 2


def test_other_tasks_have_no_plans(tmp_path):
  with pytest.raises(ValueError, match="game24 has no plans"):
    plans.write(tasks.Game24(), None, None, None, tmp_path / "plans")
  assert not (tmp_path / "plans").exists()


def test_plans_of_one_file_and_of_lines(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "p-1.pddl").write_text(PDDL.format(name="p"))
  problems = TASK.read_problems("p-1.pddl")
  plans.write(TASK, problems, solve(problems), "p-1.pddl", "plans")
  assert [p.name for p in (tmp_path / "plans").iterdir()] == ["p-1.plan"]
