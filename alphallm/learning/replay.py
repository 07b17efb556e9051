"""The replay buffer: a ring of training examples that lives on the device."""

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.learning import losses


@chex.dataclass(frozen=True)
class Example:
  """One context with the S states in it (S = 1 where contexts reset).

  Attributes:
    context: `[C]` int32.
    ends: `[S]` int32, tokens that each state has read, at least 1.
    candidates: `[S, J, T]` int32.
    lengths: `[S, J]` int32, number of tokens of each.
    weights: `[S, J]` float32, the policy to learn; zeros where there is none.
    values: `[S]` float32, the outcome z in [0, 1].
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
  """

  examples: Example
  added: chex.Array

  @property
  def capacity(self) -> int:
    return self.examples.context.shape[0]

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
) -> tuple[Example, chex.Array]:
  """Turn episodes into training examples.

  Args:
    episodes: with any leading shape `[...]`.
    done: `[...]` bool, which of them are whole.
    rng_key: draws the failures that are kept (consumed).
    discount: γ of the outcome.
    learn_from: where the policy learns: `"solutions"`, the solved paths that a
      search found; `"solved"`, all states of solved episodes; `"all"` states.
    failure_share: share of the states without a policy to learn that are kept,
      for their value.

  Returns:
    Examples, flattened to one leading axis, and which of them to keep.
  """
  d = episodes.ends.shape[-1]
  values = losses.discounted_outcome(
    episodes.num_steps, episodes.solved, d, discount
  )
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


def init(example: Example, capacity: int) -> Replay:
  """Return an empty buffer for examples like `example` (without lead axes)."""
  empty = lambda x: jnp.zeros((capacity,) + x.shape, x.dtype)
  return Replay(
    examples=jax.tree.map(empty, example), added=jnp.zeros((), jnp.int32)
  )


def add(replay: Replay, examples: Example, keep: chex.Array) -> Replay:
  """Add the examples marked in `keep`, `[n]`; the oldest make room."""
  places = (replay.added + jnp.cumsum(keep) - 1) % replay.capacity
  places = jnp.where(keep, places, replay.capacity)
  put = lambda ring, new: ring.at[places].set(new, mode="drop")
  return Replay(
    examples=jax.tree.map(put, replay.examples, examples),
    added=replay.added + jnp.sum(keep),
  )


def sample(replay: Replay, rng_key: chex.PRNGKey, batch_size: int) -> Example:
  """Draw examples uniformly, with replacement; `rng_key` is consumed."""
  size = jnp.maximum(replay.size, 1)
  places = jax.random.randint(rng_key, (batch_size,), 0, size)
  return jax.tree.map(lambda x: x[places], replay.examples)
