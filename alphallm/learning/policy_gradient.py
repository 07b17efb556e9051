"""What policy gradients have in common: the loss of decisions."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.learning import decisions, losses, scoring, surrogates


def loss(
  apply_fn: Callable[..., Any],
  params: Any,
  batch: decisions.Decision,
  surrogate: Callable[..., chex.Array],
  *,
  unit: str = "step",
  constant: bool = False,
  clip: float | None = None,
  clip_high: float | None = None,
  value_weight: float = 0.0,
  value_clip: float = 0.0,
  entropy_weight: float = 0.0,
  reference: Any = None,
  kl_weight: chex.Numeric = 0.0,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Return policy + value − entropy + β KL of decisions, and its parts.

  Args:
    apply_fn: the network.
    params: of the policy.
    batch: what was decided.
    surrogate: `(log_probs, old_log_probs, advantages) -> loss`, elementwise.
    unit: what has a ratio π/π_old of its own, a `"step"` or a `"token"`.
    constant: how the loss is aggregated, see `losses.aggregate`.
    clip: ε, of the share that is clipped; `None`: nothing is.
    clip_high: ε'.
    value_weight: of the squared error of the value.
    value_clip: how near that of the old policy it is held.
    entropy_weight: of the entropy of the next token.
    reference: the parameters of π_ref; `None`: there is no such term.
    kl_weight: β.
  """
  *says, value_logits = scoring.predict(apply_fn, params, batch)
  log_probs = scoring.of_tokens(batch, *says)
  old, is_unit = batch.log_probs, scoring.is_token(batch)
  if unit == "step":
    log_probs, old = (
      jnp.sum(x, axis=-1, keepdims=True) for x in (log_probs, old)
    )
    is_unit = is_unit[..., :1]
  is_unit &= batch.weights[..., None] > 0
  weights = jnp.broadcast_to(batch.weights[..., None], log_probs.shape)
  judged = jnp.broadcast_to(batch.advantages[..., None], log_probs.shape)
  # What is not there has a ratio of 1, lest it overflow.
  log_probs, old = (jnp.where(is_unit, x, 0.0) for x in (log_probs, old))
  mean = functools.partial(losses.aggregate, weights=weights, mask=is_unit)
  policy = mean(surrogate(log_probs, old, judged), constant=constant)
  total, values = policy, jax.nn.sigmoid(value_logits)
  metrics = {
    "policy_loss": policy,
    "entropy": scoring.entropy(batch, says),
    "approx_kl": mean(surrogates.approximate_kl(log_probs, old)),
    "ratio": mean(jnp.exp(log_probs - old)),
  }
  if clip is not None:
    is_clipped = surrogates.is_clipped(
      log_probs, old, judged, clip=clip, clip_high=clip_high
    )
    metrics["clip_fraction"] = mean(is_clipped.astype(jnp.float32))
  if value_weight:
    error = surrogates.value_error(
      values, batch.old_values, batch.values, clip=value_clip
    )
    metrics["value_loss"] = losses.weighted_mean(error, batch.mask)
    total += value_weight * metrics["value_loss"]
  total -= entropy_weight * metrics["entropy"]
  return scoring.hold(
    total, metrics, apply_fn, batch, says, reference, kl_weight
  )


def compare(
  judge: Callable[..., tuple[chex.Array, chex.Array, chex.Array]],
  episodes: types.Episode,
  done: chex.Array,
  group_size: int,
) -> tuple[decisions.Decision, chex.Array]:
  """Return the decisions of attempts that are compared by what they earned.

  Args:
    judge: from sums of rewards `[n, G]`, which of them are there, and the
      episodes to advantages, which are learned from, and weights in the mean,
      `[n, G]`.
    episodes: `[B, M, ...]`.
    done: `[B, M]` bool.
    group_size: G.
  """
  played, valid = decisions.attempts(episodes, done, group_size)
  came = jnp.sum(played.rewards, axis=-1)
  judged, valid, weights = judge(came, valid, played)
  d = played.ends.shape[-1]
  every = lambda x: jnp.broadcast_to(x[..., None], (*x.shape, d))
  return decisions.of_attempts(
    played, valid, every(judged), jnp.zeros((*came.shape, d)), every(weights)
  )


class OnPolicy:
  """What the learners of policy gradients have in common."""

  nodes: ClassVar[str] = ""
  takes: ClassVar[str] = "values"
  least_group: ClassVar[int] = 1
  recall: ClassVar[Callable[..., Any]] = staticmethod(decisions.recall)
  augments: ClassVar[bool] = False
  refers: ClassVar[bool] = False


def check(name: str, value: str, known: tuple[str, ...]) -> None:
  """Raise ValueError unless an option is among those that are known."""
  if value not in known:
    raise ValueError(f"{name}={value!r} is none of {', '.join(known)}")
