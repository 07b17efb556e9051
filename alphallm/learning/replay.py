"""The replay buffer: a ring of training examples that lives on the device."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.learning import losses, returns


@chex.dataclass(frozen=True)
class Example:
  """One context with the S states in it (S = 1 where contexts reset).

  Attributes:
    context: `[C]` int32.
    ends: `[S]` int32, tokens that each state has read, at least 1.
    candidates: `[S, J, T]` int32.
    lengths: `[S, J]` int32, number of tokens of each.
    weights: `[S, J]` float32, the policy to learn; zeros where there is none.
    values: `[S]` float32, the return z in [0, 1].
    mask: `[S]` float32, ones where the value is to be learned.
  """

  context: chex.Array
  ends: chex.Array
  candidates: chex.Array
  lengths: chex.Array
  weights: chex.Array
  values: chex.Array
  mask: chex.Array


@chex.dataclass(frozen=True)
class Replay:
  """A ring buffer.

  Attributes:
    examples: `[capacity, ...]`.
    added: `[]` int32, examples ever added; the next goes to
      `added % capacity`.
    born: `[capacity]` int32, the iteration that brought each.
  """

  examples: Any
  added: chex.Array
  born: chex.Array

  @property
  def capacity(self) -> int:
    return self.born.shape[0]

  @property
  def size(self) -> chex.Array:
    return jnp.minimum(self.added, self.capacity)


def to_examples(
  episodes: types.Episode,
  done: chex.Array,
  rng_key: chex.PRNGKey,
  *,
  discount: float,
  learn_from: str = "solutions",
  failure_share: float = 1.0,
  td_lambda: float = 1.0,
) -> tuple[Example, chex.Array]:
  """Turn episodes into training examples.

  Args:
    episodes: with any leading shape `[...]`.
    done: `[...]` bool, which of them are whole.
    rng_key: draws the failures that are kept (consumed).
    discount: γ of the rewards. Their returns are the values to learn, held
      within [0, 1], which a penalty may have left.
    learn_from: where the policy learns: `"solutions"`, the solved paths that a
      search found; `"solved"`, all states of solved episodes; `"all"` states.
    failure_share: share of the states without a policy to learn that are kept,
      for their value.
    td_lambda: λ of the targets of the value, see `returns.td_lambda`.

  Returns:
    Examples, flattened to one leading axis, and which of them to keep.
  """
  d = episodes.ends.shape[-1]
  if td_lambda < 1:
    values = returns.td_lambda(
      episodes.rewards,
      episodes.root_values,
      episodes.num_steps,
      discount=discount,
      lambda_=td_lambda,
    )
  else:
    values = returns.discounted(episodes.rewards, episodes.num_steps, discount)
  # What the whole has earned is the value of its end.
  is_played = returns.is_step(episodes.num_steps, d)
  total = jnp.sum(episodes.rewards, axis=-1, keepdims=True)
  values = jnp.clip(jnp.where(is_played, values, total), 0.0, 1.0)
  learn = (
    episodes.mask
    & {
      "solutions": episodes.on_solution,
      "solved": episodes.solved[..., None],
      "all": True,
    }[learn_from]
  )
  weights = jnp.where(learn[..., None], episodes.weights, 0.0)
  r = episodes.contexts.shape[-2]
  s = d // r  # 1 where contexts reset, D + 1 where they append
  group = lambda x, n: x.reshape(-1, s, *x.shape[n:])
  lead = done.ndim + 1
  examples = Example(
    context=episodes.contexts.reshape(-1, episodes.contexts.shape[-1]),
    ends=jnp.maximum(group(episodes.ends, lead), 1),
    candidates=group(episodes.candidates, lead),
    lengths=group(episodes.candidate_lengths, lead),
    weights=group(weights, lead),
    values=group(values, lead),
    mask=group(episodes.mask, lead).astype(jnp.float32),
  )
  # A state at which no candidate was legal teaches nothing; the terminal state
  # (t = n) has no candidates, but a value.
  t = jnp.arange(d).reshape((1,) * done.ndim + (d,))
  terminal = t == episodes.num_steps[..., None]
  teaches = terminal | (jnp.sum(episodes.weights, axis=-1) > 0)
  drawn = jax.random.uniform(rng_key, teaches.shape) < failure_share
  teaches &= drawn | (jnp.sum(weights, axis=-1) > 0)
  keep = group(teaches & episodes.mask & done[..., None], lead)
  return examples, jnp.any(keep, axis=-1)


def of_candidates(
  nodes: types.Visited, places: chex.Array, weights: chex.Array
) -> types.Visited:
  """Return nodes with some of their candidates alone.

  Args:
    nodes: `[...]`.
    places: `[..., J]` int32, of the candidates.
    weights: `[..., J]`, their weights.
  """
  axis = places.ndim - 1
  take = lambda x, at: jnp.take_along_axis(x, at, axis=axis)
  return nodes.replace(
    candidates=take(nodes.candidates, places[..., None]),
    lengths=take(nodes.lengths, places),
    weights=weights,
  )


def of_nodes(
  nodes: types.Visited, rng_key: chex.PRNGKey
) -> tuple[Example, chex.Array]:
  """Turn nodes of trees into training examples.

  They are kept in proportion to their visits: which is to weigh them by these,
  but costs less.

  Args:
    nodes: with any leading shape `[...]`.
    rng_key: draws what is kept (consumed).

  Returns:
    Examples, flattened to one leading axis, and which of them to keep.
  """
  one = lambda x: x.reshape(-1, 1, *x.shape[nodes.value.ndim :])
  examples = Example(
    context=one(nodes.context)[:, 0],
    ends=jnp.maximum(one(nodes.end), 1),
    candidates=one(nodes.candidates),
    lengths=one(nodes.lengths),
    weights=one(nodes.weights),
    values=jnp.clip(one(nodes.value), 0.0, 1.0),
    mask=one(nodes.mask).astype(jnp.float32),
  )
  drawn = jax.random.uniform(rng_key, nodes.share.shape) < nodes.share
  return examples, (drawn & nodes.mask).reshape(-1)


def init(example: Any, capacity: int) -> Replay:
  """Return an empty buffer for examples like `example` (without lead axes)."""
  empty = lambda x: jnp.zeros((capacity,) + x.shape, x.dtype)
  return Replay(
    examples=jax.tree.map(empty, example),
    added=jnp.zeros((), jnp.int32),
    born=jnp.zeros((capacity,), jnp.int32),
  )


def add(
  replay: Replay, examples: Any, keep: chex.Array, iteration: chex.Numeric = 0
) -> Replay:
  """Add the examples marked in `keep`, `[n]`; the oldest make room.

  Args:
    replay: the ring.
    examples: `[n, ...]`.
    keep: `[n]` bool.
    iteration: that brings them.
  """
  places = (replay.added + jnp.cumsum(keep) - 1) % replay.capacity
  places = jnp.where(keep, places, replay.capacity)
  put = lambda ring, new: ring.at[places].set(new, mode="drop")
  return Replay(
    examples=jax.tree.map(put, replay.examples, examples),
    added=replay.added + jnp.sum(keep),
    born=put(replay.born, jnp.full(keep.shape, iteration, jnp.int32)),
  )


def num_since(replay: Replay, iteration: chex.Numeric) -> chex.Array:
  """Return how many of the examples held are of an iteration or later, `[]`."""
  is_held = jnp.arange(replay.capacity) < replay.size
  return jnp.sum(is_held & (replay.born >= iteration))


def mean_age(
  replay: Replay, iteration: chex.Numeric, newest: chex.Numeric | None = None
) -> chex.Array:
  """Return the mean age of what `sample` draws from, in iterations, `[]`.

  Args:
    replay: the ring.
    iteration: the present one.
    newest: as of `sample`.
  """
  count = replay.size if newest is None else newest
  since = (replay.added - 1 - jnp.arange(replay.capacity)) % replay.capacity
  return losses.weighted_mean(
    (iteration - replay.born).astype(jnp.float32), since < count
  )


def sample(
  replay: Replay,
  rng_key: chex.PRNGKey,
  batch_size: int,
  newest: chex.Numeric | None = None,
) -> Any:
  """Draw examples uniformly, with replacement.

  Args:
    replay: the ring.
    rng_key: draws them (consumed).
    batch_size: how many.
    newest: only from so many that were added last; `None`: from all.
  """
  count = jnp.maximum(replay.size if newest is None else newest, 1)
  places = jax.random.randint(rng_key, (batch_size,), 0, count)
  if newest is not None:
    places = (replay.added - 1 - places) % replay.capacity
  return jax.tree.map(lambda x: x[places], replay.examples)


def complete(
  replay: Replay,
  num_new: chex.Array,
  batch_size: int,
  f: Callable[[Any], Any],
) -> Replay:
  """Replace the newest examples by what a function makes of them.

  Args:
    replay: the ring.
    num_new: `[]` int32, how many.
    batch_size: of them at a time.
    f: from a batch of examples to one of the same shapes.
  """

  def body(index, held):
    offsets = index * batch_size + jnp.arange(batch_size)
    places = (replay.added - 1 - offsets) % replay.capacity
    made = f(jax.tree.map(lambda x: x[places], held))
    places = jnp.where(offsets < num_new, places, replay.capacity)
    put = lambda ring, new: ring.at[places].set(new, mode="drop")
    return jax.tree.map(put, held, made)

  num_new = jnp.minimum(num_new, replay.capacity)
  num_batches = (num_new + batch_size - 1) // batch_size
  held = jax.lax.fori_loop(0, num_batches, body, replay.examples)
  return replay.replace(examples=held)
