"""What the network says of candidates: each scored against one pass."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.learning import losses, replay
from alphallm.models import steps


def predict(
  apply_fn: Callable[..., Any], params: Any, batch: replay.Example
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Return what the network says of every token of the candidates.

  See `models.steps`.

  Returns:
    Log-probabilities of a candidate's first token, `[B, S, V]`, and of those
    behind it, `[B, S, J, T - 1, V]`; value logits `[B, S]`.
  """
  first, rest, value_logits = steps.read(
    apply_fn, params, batch.context, batch.ends, batch.candidates
  )
  return jax.nn.log_softmax(first), jax.nn.log_softmax(rest), value_logits


def score(
  batch: replay.Example, first: chex.Array, rest: chex.Array
) -> chex.Array:
  """Return log π of every candidate, `[B, S, J]`; see `of_tokens`."""
  return jnp.sum(of_tokens(batch, first, rest), axis=-1)


def of_tokens(
  batch: replay.Example, first: chex.Array, rest: chex.Array
) -> chex.Array:
  """Return log π of every token of the candidates, `[B, S, J, T]`.

  What stands behind the end of a candidate is 0.

  Args:
    batch: holds the candidates.
    first: as of `predict`.
    rest: as of `predict`.
  """
  tokens = batch.candidates
  pick = lambda x, at: jnp.take_along_axis(x, at[..., None], axis=-1)[..., 0]
  log_probs = jnp.concatenate(
    [
      jnp.take_along_axis(first, tokens[..., 0], axis=-1)[..., None],
      pick(rest, tokens[..., 1:]),
    ],
    axis=-1,
  )
  return jnp.where(is_token(batch), log_probs, 0.0)


def is_token(batch: replay.Example) -> chex.Array:
  """Return which of the candidates' tokens are there, `[B, S, J, T]`."""
  places = jnp.arange(batch.candidates.shape[-1])[None, None, None]
  return places < batch.lengths[..., None]


def divergence(
  batch: replay.Example,
  policy: tuple[chex.Array, chex.Array],
  reference: tuple[chex.Array, chex.Array],
) -> chex.Array:
  """Return the mean of KL(π‖π_ref) over the tokens of the candidates.

  Args:
    batch: holds the candidates.
    policy: the log-probabilities of `predict`.
    reference: those of the reference.
  """
  first = losses.kl_divergence(policy[0], reference[0])[..., None, None]
  rest = losses.kl_divergence(policy[1], reference[1])
  b, s, j, _ = batch.candidates.shape
  every = jnp.concatenate([jnp.broadcast_to(first, (b, s, j, 1)), rest], -1)
  is_known = batch.mask[..., None, None] > 0
  return losses.weighted_mean(every, is_token(batch) & is_known)


def entropy(
  batch: replay.Example, policy: tuple[chex.Array, chex.Array]
) -> chex.Array:
  """Return the mean entropy of the next token, over the candidates' tokens.

  Args:
    batch: holds the candidates.
    policy: the log-probabilities of `predict`.
  """
  of = lambda log_probs: -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
  b, s, j, _ = batch.candidates.shape
  first = jnp.broadcast_to(of(policy[0])[..., None, None], (b, s, j, 1))
  every = jnp.concatenate([first, of(policy[1])], axis=-1)
  is_known = batch.mask[..., None, None] > 0
  return losses.weighted_mean(every, is_token(batch) & is_known)


def hold(
  loss: chex.Array,
  metrics: dict[str, chex.Array],
  apply_fn: Callable[..., Any],
  batch: replay.Example,
  policy: tuple[chex.Array, chex.Array],
  reference: Any,
  kl_weight: chex.Numeric,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Add β KL(π‖π_ref) to a loss, and KL to its metrics.

  Args:
    loss: `[]`.
    metrics: its parts.
    apply_fn: the network.
    batch: holds the candidates.
    policy: the log-probabilities of `predict`.
    reference: the parameters of π_ref; `None`: nothing is added.
    kl_weight: β.
  """
  if reference is None:
    return loss, metrics
  *says, _ = predict(apply_fn, reference, batch)
  kl = divergence(batch, policy, jax.lax.stop_gradient(says))
  return loss + kl_weight * kl, metrics | {"kl": kl}
