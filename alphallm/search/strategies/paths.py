"""Paths of steps under way: what strategies extend, score and choose among.

Dimension letters beside those of `types`:

  W  paths of a problem
  M  children: W x K, the K ways on of each path in a row
  S  tokens that a step and its answer add, at most
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.models import attention
from alphallm.search.truncation import IMPOSSIBLE

CERTAIN = 1e6  # the score of what is known to solve the problem


@chex.dataclass(frozen=True)
class Path:
  """The steps of a path so far, and what is thought of them, `[B, W, ...]`.

  Attributes:
    state: where they lead, in truth; a strategy reads what it may ask.
    tokens: `[D, T]` int32, the steps.
    lengths: `[D]` int32, number of tokens of each.
    num_steps: `[]` int32.
    log_prob: `[]` float32, of all steps under the distribution sampled from.
    value: `[]` float32, the network's of the last state that it has read; of a
      path that is over, its reward, if the checker may be asked.
    belief: `[]` float32, how sure the network is that it is right, when it was
      last asked (see `guidance.self_evaluation`); 0.5 before.
    answer: `[]` uint32, see `Task.answer`; 0 where nobody asks, or none is.
    score: `[]` float32, the guidance's; `CERTAIN` of what is known to solve the
      problem; `IMPOSSIBLE` of what is known to be wrong, of rejected paths, and
      of places that hold none.
    over: `[]` bool, whether nothing more is to be written.
  """

  state: types.State
  tokens: chex.Array
  lengths: chex.Array
  num_steps: chex.Array
  log_prob: chex.Array
  value: chex.Array
  belief: chex.Array
  answer: chex.Array
  score: chex.Array
  over: chex.Array

  @property
  def lives(self) -> chex.Array:
    """Whether a path is not wrong, rejected or missing, `[B, W]` bool."""
    return self.score > IMPOSSIBLE / 2

  @property
  def finished(self) -> chex.Array:
    """Whether a path is a whole one, and not known to be wrong."""
    return self.over & self.lives

  @property
  def solved(self) -> chex.Array:
    """Whether a path solves the problem, in truth."""
    return self.state.terminated & (self.state.reward >= 1)


@chex.dataclass(frozen=True)
class Frontier:
  """Paths, and what is needed to go on from them, `[B, W, ...]`.

  Of the prompt one copy serves all; what follows it is each path's own.

  Attributes:
    path: the paths.
    logits: `[V]` float32, of the next token.
    place: `[]` int32, of the next token in the context.
    kv: per layer `[...]`, of the R tokens after the prompt; where contexts
      reset, of the last observation.
    unread: `[S]`, tokens that the network has yet to pass; most often none.
  """

  path: Path
  logits: chex.Array
  place: chex.Array
  kv: tuple[Any, ...]
  unread: types.Context


@chex.dataclass(frozen=True)
class Children:
  """Ways on from the paths of a frontier, `[B, M, ...]`.

  A path that is over has itself as its first child, and no other.

  Attributes:
    path: the paths, one step longer.
    parent: `[]` int32, the path that each goes on from.
    unread: `[S]`, the tokens that it adds, until the network has passed them.
    read: what came of that; None before.
  """

  path: Path
  parent: chex.Array
  unread: types.Context
  read: "Read | None" = None


@chex.dataclass(frozen=True)
class Read:
  """What the network says of new tokens, `[B, M, ...]`.

  Attributes:
    logits: `[V]` float32, of the token after them.
    value: `[]` float32.
    belief: `[]` float32, see `Path`; 0.5 of what nobody asked about.
    kv: per layer `[...]`, of S tokens.
    lengths: `[]` int32, how many tokens were passed; 0: the rest means nothing.
  """

  logits: chex.Array
  value: chex.Array
  belief: chex.Array
  kv: tuple[Any, ...]
  lengths: chex.Array


@chex.dataclass(frozen=True)
class Ground:
  """What all paths of a problem begin with, `[B, ...]`.

  Attributes:
    state: of the problem.
    prompt: the segment of its prompt.
    length: `[]` int32, tokens of the prompt.
    logits: `[V]`, of the token after it.
    value: `[]`, the network's.
  """

  state: types.State
  prompt: attention.Segment
  length: chex.Array
  logits: chex.Array
  value: chex.Array


def take(tree: Any, index: chex.Array) -> Any:
  """Return the paths at `[B, W']` places of arrays `[B, W, ...]`."""
  rows = jnp.arange(index.shape[0])[:, None]
  return jax.tree.map(lambda x: x[rows, index], tree)


def put(tree: Any, index: chex.Array, new: Any) -> Any:
  """Write paths `[B, W', ...]` to places; one that there is not drops them."""
  rows = jnp.arange(index.shape[0])[:, None]
  return jax.tree.map(
    lambda x, y: x.at[rows, index].set(y, mode="drop"), tree, new
  )


def where(mask: chex.Array, new: Any, old: Any) -> Any:
  """Choose between trees of arrays by a mask of their first dimensions."""
  return jax.tree.map(
    lambda x, y: jnp.where(
      mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, y
    ),
    new,
    old,
  )


def reject(path: Path, mask: chex.Array) -> Path:
  """Return the paths, of which those of a mask `[B, W]` are given up."""
  return path.replace(
    over=path.over | mask, score=jnp.where(mask, IMPOSSIBLE, path.score)
  )


def unlike(path: Path) -> chex.Array:
  """Return which paths lead where no better one does, `[B, W]` bool.

  Of equals the first counts as the better. Paths that do not live never are.
  """
  prints, score, lives = path.state.fingerprint, path.score, path.lives
  order = jnp.arange(score.shape[1])
  earlier = (order[None, None] < order[None, :, None]) & (
    score[:, None] == score[:, :, None]
  )
  better = earlier | (score[:, None] > score[:, :, None])
  same = prints[:, None] == prints[:, :, None]
  return lives & ~jnp.any(same & better & lives[:, None], axis=-1)
