import json
import pathlib
import re

import numpy as np
import pytest

from alphallm.tasks import blocks_world, pddl, stacks

PLANBENCH = pathlib.Path(__file__).parents[3] / "shared/data/planbench"

PROBLEM = """
; Two towers.
(define (problem BW-rand-3)
  (:domain blocksworld-4ops)
  (:objects B2 b10 b1 - block)
  (:init (handempty) (ontable b2) (on b10 B2) (ontable b1))
  (:goal (and (on b2 b1) (ontable b10))))
"""


def edited(old, new):
  assert old in PROBLEM
  return PROBLEM.replace(old, new)


def simulate(names, on, plan):
  """Run a plan of blocksworld-4ops by its preconditions and effects.

  Independent of the task: facts are tuples, actions add and delete them.
  """
  facts = {("handempty",)}
  facts |= {("clear", name) for name in names if name not in on.values()}
  for block, support in on.items():
    table = support == pddl.TABLE
    facts.add(("ontable", block) if table else ("on", block, support))
  for line in plan.splitlines():
    name, x, y = re.fullmatch(r"\((\S+) (\S+?)(?: (\S+))?\)", line).groups()
    free, held = ("handempty",), ("holding", x)
    before, after = {
      "pick-up": ([("clear", x), ("ontable", x), free], [held]),
      "put-down": ([held], [("clear", x), ("ontable", x), free]),
      "unstack": ([("on", x, y), ("clear", x), free], [held, ("clear", y)]),
      "stack": ([held, ("clear", y)], [("on", x, y), ("clear", x), free]),
    }[name]
    assert facts.issuperset(before), f"{line} in {facts}"
    facts = (facts - set(before)) | set(after)
  assert ("handempty",) in facts
  return {fact[1]: fact[2] for fact in facts if fact[0] == "on"} | {
    fact[1]: pddl.TABLE for fact in facts if fact[0] == "ontable"
  }


def test_read_problem(tmp_path):
  path = tmp_path / "p.pddl"
  path.write_text(PROBLEM)
  assert pddl.read_problem(path) == pddl.Description(
    ["b2", "b10", "b1"],
    {"b2": "table", "b10": "b2", "b1": "table"},
    {"b2": "b1", "b10": "table"},
  )


def test_a_goal_of_one_fact_needs_no_and(tmp_path):
  path = tmp_path / "p.pddl"
  text = edited("(and (on b2 b1) (ontable b10))", "(on b2 b1)")
  path.write_text(text.replace("(handempty)", "(clear b10)"))
  assert pddl.read_problem(path).goal == {"b2": "b1"}


def test_a_folder_is_read_in_natural_order(tmp_path):
  for name in ("b/instance-10", "b/instance-2", "a/x-3", "b/instance-2b"):
    path = tmp_path / f"{name}.pddl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PROBLEM)
  (tmp_path / "domain.pddl").write_text("(define (domain blocksworld-4ops))")
  names = [pathlib.Path(place).stem for place, _ in pddl.read(tmp_path)]
  assert names == ["x-3", "instance-2", "instance-2b", "instance-10"]


def test_jsonl(tmp_path):
  path = tmp_path / "p.jsonl"
  line = {"init": {"a": "b", "b": "table"}, "goal": {"a": "table"}}
  path.write_text(f"{json.dumps(line)}\n\n{json.dumps(line)}\n")
  problem = pddl.Description(["a", "b"], line["init"], line["goal"])
  assert pddl.read(path) == [(f"{path}:1", problem), (f"{path}:3", problem)]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "not a PDDL problem"),
    ("hello", "not a PDDL problem"),
    ("(define (problem x) (:init", "unbalanced"),
    (")(", "unbalanced"),
    ("(define (problem x) () (:goal))", "not a PDDL problem"),
    ("(define (domain blocks))", "not a PDDL problem"),
    ("(define (problem x) (:objects a) (:init (ontable a)))", "no :goal"),
    (edited("(:objects B2 b10 b1 - block)", "(:objects)"), "no blocks"),
    (edited("B2 b10 b1", "B2 b10 b1 b1"), "names of their own"),
    (edited("B2 b10 b1", "B2 (b10) b1"), "must be names"),
    (edited("(handempty)", "(holding b1)"), r"\(holding ...\)"),
    (edited("(handempty)", "(near b1 b2)"), r"\(near ...\)"),
    (edited("(handempty)", "(on b1)"), r"\(on ...\)"),
    (edited("(handempty)", "handempty"), "a fact is missing"),
    (edited("(handempty)", "(on b10 b1)"), "b10 is on two things"),
    (edited("(handempty)", "(clear b2)"), "b2 is not clear"),
    (edited("(ontable b1)", "(on b1 b1)"), "init: b1 is on itself"),
    (edited("(ontable b1)", ""), "b1 stands on nothing"),
    (edited("(ontable b1)", "(on b1 b2)"), "init: two blocks are on b2"),
    (edited("(ontable b1)", "(on b1 x)"), "init: no block is called x"),
    (edited("(ontable b2)", "(on b2 b10)"), "init: b2 is above itself"),
    (edited("(ontable b10)", "(on b10 b1)"), "goal: two blocks are on b1"),
    (edited("(ontable b10)", "(on b1 b2)"), "goal: b2 is above itself"),
    (edited("(ontable b10)", "(ontable b2)"), "b2 is on two things"),
    (edited("(ontable b10)", "(clear b10)"), r"goal: \(clear ...\)"),
    (edited("(and (on b2 b1)", "(or (on b2 b1)"), r"goal: \(or ...\)"),
  ],
)
def test_errors_of_pddl(tmp_path, text, message):
  path = tmp_path / "p.pddl"
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as error:
    pddl.read_problem(path)
  assert str(error.value).startswith(f"{path}: ")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[]", "not an object"),
    ('{"init": {"a": "table"}}', "not an object"),
    ('{"init": {"a": 1}, "goal": {}}', "must map"),
    ('{"init": {"a": "table", "a": "table"}, "goal": {}}', "listed twice"),
    ('{"init": {"a": "b"}, "goal": {}}', "no block is called b"),
    ('{"init": {"a": "table"}, "goal": {"b": "a"}}', "no block is called b"),
    ('{"init": {"a": "table"}, "goal": {"a": "a"}}', "a is on itself"),
  ],
)
def test_errors_of_jsonl(tmp_path, line, message):
  path = tmp_path / "p.jsonl"
  path.write_text("\n" + line)
  with pytest.raises(ValueError, match=message) as error:
    pddl.read(path)
  assert str(error.value).startswith(f"{path}:2: ")


def test_errors_of_files(tmp_path):
  with pytest.raises(ValueError, match="no such file"):
    pddl.read(tmp_path / "missing")
  with pytest.raises(ValueError, match="no \\*.pddl file"):
    pddl.read(tmp_path)
  (tmp_path / "p.pddl").write_bytes(b"\xff\xfe\x00")
  with pytest.raises(ValueError, match="not a readable text file"):
    pddl.read(tmp_path)
  (tmp_path / "p.jsonl").write_text("\n")
  with pytest.raises(ValueError, match="no problem in this file"):
    pddl.read(tmp_path / "p.jsonl")


def test_write_plan():
  plan = pddl.write_plan(["A", "b", "c"], [(0, 1, -1), (1, -1, 0), (1, 0, 2)])
  assert plan == (
    "(unstack a b)\n(put-down a)\n"
    "(pick-up b)\n(stack b a)\n"
    "(unstack b a)\n(stack b c)\n"
  )


def test_plans_run_in_pddl():
  rng = np.random.default_rng(0)
  names = ["b1", "b2", "b3", "b4", "b5"]

  def named(on):
    return {
      name: pddl.TABLE if to < 0 else names[to]
      for name, to in zip(names, on, strict=True)
    }

  starts, _ = stacks.random_problems(rng, 50, min_blocks=5, max_blocks=5)
  for start in starts:
    on, steps = start.copy(), []
    for _ in range(8):
      legal = np.argwhere(blocks_world.legal_moves(on))
      block, place = rng.choice(legal)
      on[block] = place if place < 5 else blocks_world.TABLE
      steps.append("abcde"[block] + "abcde-"[place] + "\n")
    moves = blocks_world.to_moves(start, steps)
    plan = pddl.write_plan(names, moves)
    assert simulate(names, named(start), plan) == named(on)


@pytest.mark.skipif(
  not PLANBENCH.is_dir(), reason=f"PlanBench's problems are not at {PLANBENCH}"
)
def test_planbench_is_read():
  problems = pddl.read(PLANBENCH)
  assert len(problems) == 602
  assert problems[2][0].endswith("generated_basic/instance-3.pddl")
  for _, (names, on, goal) in problems:
    assert names == list("abcde"[: len(names)])
    assert sorted(on) == names
    assert goal
    assert pddl.TABLE not in goal.values()
