"""Which children live on: one function for each way to choose."""

import chex
import jax
import jax.numpy as jnp

from alphallm.search.strategies import paths as paths_lib
from alphallm.search.truncation import IMPOSSIBLE


def highest(
  path: paths_lib.Path,
  *,
  width: int,
  merge: bool = False,
  threshold: float | None = None,
) -> tuple[chex.Array, chex.Array]:
  """Keep the children of the highest scores, as a beam does.

  Those that are finished keep their places before all others, and compete in
  the end, with each other: a value cannot tell a solution from the step before.

  Args:
    path: the children, `[B, M]`.
    width: W, how many are kept.
    merge: whether of those that lead to the same state one is enough.
    threshold: those of lower scores are not kept; `None`: any may be.

  Returns:
    Which are kept, `[B, W]`, and which of those are not after all.
  """
  kept = path.lives
  if merge:
    kept = paths_lib.unlike(path)
  if threshold is not None:
    kept &= path.score >= threshold
  order = jnp.lexsort((-path.score, ~path.finished, ~kept), axis=-1)
  lacking = max(0, width - order.shape[1])
  index = jnp.pad(order[:, :width], ((0, 0), (0, lacking)))
  drop = ~paths_lib.take(kept, index)
  return index, drop | (jnp.arange(width)[None] >= order.shape[1])


def highest_of_each(
  path: paths_lib.Path, *, width: int
) -> tuple[chex.Array, chex.Array]:
  """Keep the best child of each path: W subtrees that never mix (DVTS)."""
  score = path.score.reshape(path.score.shape[0], width, -1)
  index = jnp.argmax(score, axis=2) + jnp.arange(width)[None] * score.shape[2]
  return index, jnp.zeros(index.shape, bool)


def all_but_weakest(
  path: paths_lib.Path, *, share: float
) -> tuple[chex.Array, chex.Array]:
  """Give up a share of the paths, those of the lowest scores.

  Of n paths that live the ⌊share · n⌋ weakest are marked, and of those the ones
  under way given up: what is finished costs nothing more (speculative
  rejection, Sun et al., 2024).
  """
  batch, width = path.score.shape
  living = jnp.sum(path.lives, axis=1, keepdims=True)
  place = jnp.argsort(jnp.argsort(-path.score, axis=1), axis=1)
  # A share of 0.3 of 10 paths is 3 of them, whatever 0.3 is in binary.
  weakest = jnp.floor(share * living + 1e-4).astype(jnp.int32)
  index = jnp.broadcast_to(jnp.arange(width)[None], (batch, width))
  return index, (place >= living - weakest) & ~path.over


def in_proportion(
  path: paths_lib.Path, *, width: int, temperature: float
) -> tuple[chex.Array, chex.Array]:
  """Give each path as many places as its score deserves (REBASE).

  Wu et al., 2024, "Inference scaling laws", section 3.2: of a budget of W paths
  those that are finished keep one each, and the rest goes to those under way by
  the softmax of their scores over the temperature, rounded so that the budget
  is spent (largest remainders).

  Args:
    path: the children, `[B, M]`.
    width: W.
    temperature: low, the best get all; high, each gets as much.
  """
  under_way = path.lives & ~path.over
  budget = width - jnp.sum(path.finished, axis=1, keepdims=True)
  logits = jnp.where(under_way, path.score / temperature, IMPOSSIBLE)
  weights = jax.nn.softmax(logits, axis=1)
  share = budget * jnp.where(under_way, weights, 0.0)
  whole = jnp.floor(share + 1e-5)
  left = budget - jnp.sum(whole, axis=1, keepdims=True).astype(jnp.int32)
  remainder = jnp.where(under_way, share - whole, -1.0)
  place = jnp.argsort(jnp.argsort(-remainder, axis=1), axis=1)
  counts = whole.astype(jnp.int32) + ((place < left) & under_way)
  counts = jnp.where(path.finished, 1, counts)
  upto = jnp.cumsum(counts, axis=1)
  places = jnp.arange(width)[None, :, None]
  index = jnp.sum(upto[:, None] <= places, axis=-1)
  total = upto[:, -1:]
  index = jnp.minimum(index, path.score.shape[1] - 1)
  return index, jnp.arange(width)[None] >= total
