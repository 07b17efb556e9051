import functools
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.tasks import blocks_world, stacks

TABLE, ANY, ABSENT = -1, -2, -3
PLANBENCH = pathlib.Path(__file__).parents[3] / "shared/data/planbench"


def renamed(rng, on, goal):
  """Rename the blocks of one problem, absent rows included."""
  names = rng.permutation(len(on))
  result = np.empty((2, len(on)), np.int32)
  for row, to in zip(result, (on, goal), strict=True):
    row[names] = np.where(to >= 0, names[to], to)
  return result


def test_class_hash_ignores_names_padding_and_library():
  rng = np.random.default_rng(0)
  hash_one = jax.jit(jax.vmap(stacks.class_hash))
  for n in (5, 15):
    on, goal = stacks.random_problems(rng, 200, min_blocks=3, max_blocks=n)
    want = stacks.class_hash(on, goal)
    assert want.dtype == np.uint32
    for i in range(len(on)):
      assert stacks.class_hash(*renamed(rng, on[i], goal[i])) == want[i]
    np.testing.assert_array_equal(
      hash_one(jnp.array(on), jnp.array(goal)), want
    )
    wide = [
      np.pad(x, ((0, 0), (0, 15 - n)), constant_values=ABSENT)
      for x in (on, goal)
    ]
    np.testing.assert_array_equal(stacks.class_hash(*wide), want)


def test_class_hash_is_exact():
  rng = np.random.default_rng(1)
  on, goal = stacks.random_problems(rng, 6000, min_blocks=3, max_blocks=5)

  def code(names):
    """The problems as numbers, when block i is called `names[i]`."""
    names = np.array([*names, ABSENT, ANY, TABLE])
    rows = np.zeros((len(on), 10), np.int64)
    for i in range(5):
      rows[:, names[i]], rows[:, 5 + names[i]] = (
        names[on[:, i]],
        names[goal[:, i]],
      )
    return (rows + 3) @ 8 ** np.arange(10)

  canonical = functools.reduce(
    np.minimum, map(code, itertools.permutations(range(5)))
  )
  hashed = stacks.class_hash(on, goal)
  classes = len(np.unique(canonical))
  assert classes > 1000
  assert len(np.unique(hashed)) == classes
  assert len(np.unique(np.stack([canonical, hashed]), axis=1).T) == classes


def test_class_hash_tells_two_swaps_from_a_cycle():
  on = np.array([TABLE, 0, TABLE, 2])
  swaps, cycle = np.array([[1, ANY, 3, ANY], [3, ANY, 1, ANY]])
  assert stacks.class_hash(on, swaps) != stacks.class_hash(on, cycle)


def test_arrangements_are_uniform():
  rng = np.random.default_rng(0)
  on = stacks._random_stacks(rng, np.full(13_000, 3), 4)
  assert np.all(on[:, 3] == ABSENT)
  _, counts = np.unique(on, axis=0, return_counts=True)
  # Of three blocks: 6 towers, 6 of two and one, 1 of three.
  assert len(counts) == 13
  assert np.all(np.abs(counts - 1000) < 150)


@pytest.mark.skipif(
  not PLANBENCH.is_dir(), reason=f"PlanBench's problems are not at {PLANBENCH}"
)
def test_planbench_is_held_out():
  task = blocks_world.BlocksWorld()
  problems = task.read_problems(PLANBENCH)
  hashed = stacks.class_hash(problems.on, problems.goal)
  classes = np.unique(hashed)
  np.testing.assert_array_equal(classes, stacks._planbench_classes())
  assert len(hashed) == 602 and len(classes) == 262
  state = jax.jit(jax.vmap(task.init))(problems)
  assert np.all(state.held_out)
  assert not np.any(state.terminated)
