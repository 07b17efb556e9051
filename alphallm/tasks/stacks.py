"""Problems of the blocks world: drawn at random, told apart by a hash."""

import functools
import math
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm.tasks import hashing

TABLE, ANY, ABSENT = -1, -2, -3


@chex.dataclass(frozen=True)
class Problem:
  """Where blocks stand and where they must.

  Attributes:
    on: `[n]` int32, the block that each block stands on, TABLE, or ABSENT for
      blocks that the problem lacks.
    goal: `[n]` int32, likewise, or ANY where nothing is demanded.
  """

  on: chex.Array
  goal: chex.Array


def class_hash(on: chex.Array, goal: chex.Array) -> chex.Array:
  """Hash a problem up to the names of its blocks and absent rows.

  Colors of blocks are refined as by Weisfeiler and Lehman, once for each block
  marked as the root. Every block has at most one neighbor of a kind, so that
  a root tells all blocks connected to it apart, and the hash is exact (but for
  collisions of 32 bits). Without roots, two swaps of two towers would look like
  one cycle of four blocks.

  Args:
    on: `[..., n]` int32, NumPy or JAX. See `Problem`.
    goal: `[..., n]` int32. No two blocks have the same one as their goal.

  Returns:
    `[...]` uint32.
  """
  xp = jnp if isinstance(on, jax.Array) else np
  n = on.shape[-1]
  blocks = xp.arange(n)
  neighbors = []
  for to in (on, goal):
    above = to[..., :, None] == xp.expand_dims(blocks, tuple(range(to.ndim)))
    above = xp.where(above.any(-2), above.argmax(-2), ABSENT)
    neighbors += [to[..., None, :], above[..., None, :]]
  # Indices -1, -2 and -3 of a row of colors: TABLE, ANY and ABSENT.
  constants = xp.broadcast_to(
    xp.array([3, 2, 1], np.uint32), (*on.shape[:-1], n, 3)
  )

  present = (on != ABSENT).astype(np.uint32)
  rounds = present.sum(-1)[..., None, None]

  def refine(i, colors):
    known = xp.concatenate([colors, constants], axis=-1)
    refined = hashing.mix(
      colors, *(xp.take_along_axis(known, to, axis=-1) for to in neighbors)
    )
    return xp.where(i < rounds, refined, colors)

  # Row r of the colors is the coloring whose root is block r.
  colors = xp.eye(n, dtype=np.uint32) + np.uint32(4)
  colors = xp.broadcast_to(colors, (*on.shape[:-1], n, n))
  # As many rounds as the problem has blocks, and not rows: equal hashes.
  if xp is jnp:
    colors = jax.lax.fori_loop(0, n, refine, colors)
  else:
    for i in range(n):
      colors = refine(i, colors)
  rooted = (colors * present[..., None, :]).sum(-1, dtype=np.uint32)
  return hashing.mix((hashing.mix(rooted) * present).sum(-1, dtype=np.uint32))


def in_planbench(hashed: chex.Array) -> chex.Array:
  """Return which class hashes `[...]` are those of PlanBench's problems."""
  return (hashed[..., None] == _planbench_classes()).any(-1)


@functools.lru_cache
def _planbench_classes() -> np.ndarray:
  path = pathlib.Path(__file__).with_name("planbench_classes.txt")
  return np.array(
    [int(line, 16) for line in path.read_text().split()], np.uint32
  )


def random_problems(
  rng: np.random.Generator,
  num: int,
  *,
  min_blocks: int,
  max_blocks: int,
  level: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Draw unsolved problems of any class, at most `num` of them.

  Start and goal are uniform over arrangements. Half of the goals demand every
  block that stands on another and half of these nothing else (as in PlanBench);
  the rest keep a random share of their demands.

  Args:
    rng: draws them.
    num: how many are drawn; solved ones are left out.
    min_blocks: the smallest number of blocks.
    max_blocks: the size of the arrays.
    level: the largest number of blocks; `max_blocks` if None.

  Returns:
    `on` and `goal`, `[<= num, max_blocks]` int32.
  """
  most = max_blocks if level is None else level
  counts = rng.integers(min_blocks, most + 1, num)
  on = _random_stacks(rng, counts, max_blocks)
  goal = _random_stacks(rng, counts, max_blocks)
  share = np.where(rng.random(num) < 0.5, 1.0, rng.random(num))
  table_share = np.where(rng.random(num) < 0.5, 0.0, share)
  kept = rng.random(goal.shape) < np.where(
    goal == TABLE, table_share[:, None], share[:, None]
  )
  goal = np.where(kept | (goal == ABSENT), goal, ANY)
  unsolved = ((goal >= TABLE) & (goal != on)).any(-1)
  return on[unsolved], goal[unsolved]


def _random_stacks(
  rng: np.random.Generator, counts: np.ndarray, max_blocks: int
) -> np.ndarray:
  """Draw uniform arrangements of `counts` blocks, `[B, max_blocks]` int32.

  An arrangement is an order of the blocks, cut into towers. Of n blocks in k
  towers there are n! / k! * C(n - 1, k - 1) (Lah numbers).
  """
  # The absent blocks come last in the order.
  column = np.arange(max_blocks)
  absent = column >= counts[:, None]
  order = np.argsort(rng.random(absent.shape) + absent, axis=1)
  sizes = range(1, max_blocks + 1)
  lah = np.array(
    [
      [math.comb(n - 1, k - 1) / math.factorial(k) for k in sizes]
      for n in sizes
    ]
  )
  below = np.cumsum(lah, axis=1) / lah.sum(axis=1, keepdims=True)
  towers = 1 + (rng.random(len(counts))[:, None] > below[counts - 1]).sum(1)
  # Cut at towers - 1 of the places between blocks, and at the first.
  places = np.where(absent | (column == 0), column, rng.random(absent.shape))
  places[:, 0] = -1
  ranks = np.argsort(np.argsort(places, axis=1), axis=1)
  supports = np.where(ranks < towers[:, None], TABLE, np.roll(order, 1, axis=1))
  on = np.empty(absent.shape, np.int32)
  np.put_along_axis(on, order, np.where(absent, ABSENT, supports), axis=1)
  return on
