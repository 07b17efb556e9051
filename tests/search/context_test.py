import jax
import numpy as np
import pytest
import toy_task
import unoptimized

from alphallm.search import context
from alphallm.tasks import blocks_world, countdown

TASKS = {name: toy_task.Walk(name) for name in ("append", "reset")}


def walk(task, steps, seed=0):
  """Return the states after some steps of one problem, the first included."""
  problem = task.sample_numpy(np.random.default_rng(seed), 1)
  problem = toy_task.problem_at(problem, 0)
  problem = problem.replace(legal=np.ones_like(problem.legal))
  states = [task.init(problem)]
  for tokens, length in steps:
    states.append(task.step(states[-1], tokens, length))
  return states


def steps():
  a, b = toy_task.LETTER_IDS[:2]
  end = toy_task.NEWLINE
  return [
    (np.array([a, end, 0], np.int32), 2),
    (np.array([b, a, end], np.int32), 3),
  ]


def text(ctx):
  assert not np.any(ctx.tokens[ctx.lengths :])
  return ctx.tokens[: int(ctx.lengths)].tolist()


def observed(state):
  return state.observation[: int(state.observation_length)].tolist()


@pytest.mark.parametrize("kind", TASKS)
def test_grows_as_lists_do(kind):
  task = TASKS[kind]
  states = walk(task, steps())
  ctx = context.initial(task, states[0].inner.problem)
  expected = observed(states[0])
  assert ctx.tokens.shape == (context.size(task),)
  assert text(ctx) == expected
  extend = unoptimized.jit(
    lambda *args: context.extend(task, *args)  # noqa: B023
  )
  for state, (tokens, length) in zip(states[1:], steps(), strict=True):
    ctx = extend(ctx, state, tokens, np.int32(length))
    if kind == "reset":
      expected = observed(state)
    else:
      expected = expected + tokens[:length].tolist() + observed(state)
    assert text(ctx) == expected


def test_added_without_the_observation():
  task = TASKS["append"]
  states = walk(task, steps())
  for state, (tokens, length) in zip(states[1:], steps(), strict=True):
    new = context.added(task, state, tokens, length, sees_observation=False)
    assert text(new) == tokens[:length].tolist()
    assert new.tokens.shape == (task.max_step_tokens,)


def test_write_stops_at_the_end():
  new = context.types.Context(
    tokens=np.array([7, 8, 9, 0], np.int32), lengths=np.int32(3)
  )
  row = np.arange(6, dtype=np.int32)
  write = unoptimized.jit(context.write)
  assert write(row, 1, new).tolist() == [0, 7, 8, 9, 4, 5]
  assert write(row, 3, new).tolist() == [0, 1, 2, 7, 8, 9]
  assert write(row, 4, new).tolist() == [0, 1, 2, 3, 7, 8]
  assert write(row, 6, new).tolist() == row.tolist()


@pytest.mark.parametrize(
  "task",
  [
    countdown.Countdown(num_numbers=3, context="append"),
    blocks_world.BlocksWorld(max_blocks=3, context="append"),
  ],
  ids=lambda task: task.name,
)
def test_the_longest_episode_fits(task):
  """Random play fills at most C tokens, and each text is whole."""
  problem = jax.tree.map(
    lambda x: x[0], task.sample_numpy(np.random.default_rng(0), 1, "train")
  )
  step = unoptimized.jit(task.step)
  draw = unoptimized.jit(task.random_step)
  extend = unoptimized.jit(lambda *args: context.extend(task, *args))
  state = unoptimized.jit(task.init)(problem)
  ctx = context.initial(task, problem)
  expected = observed(state)
  for i in range(task.max_steps):
    tokens, length = draw(jax.random.key(i), state)
    state = step(state, tokens, length)
    ctx = extend(ctx, state, tokens, length)
    expected += tokens[: int(length)].tolist() + observed(state)
  assert len(expected) <= context.size(task)
  assert text(ctx) == expected
