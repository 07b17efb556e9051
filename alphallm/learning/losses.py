"""The losses, each a pure function of log-probabilities, values and targets."""

import chex
import jax.numpy as jnp
import optax


def weighted_mean(x: chex.Array, mask: chex.Array) -> chex.Array:
  """Return the mean of `x` where `mask` is set; 0 if it is nowhere."""
  mask = mask.astype(x.dtype)
  return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def aggregate(
  x: chex.Array,
  weights: chex.Array,
  mask: chex.Array,
  *,
  constant: bool = False,
) -> chex.Array:
  """Return Σ w x over what is there, divided by Σ w.

  With weights of 1 that is the mean over all tokens (DAPO, Yu et al., 2025,
  eq. 12), with 1 / (tokens of the answer) the mean over answers of their means
  (GRPO, Shao et al., 2024, eq. 3).

  Args:
    x: `[...]`.
    weights: `[...]`.
    mask: `[...]` bool, what is there.
    constant: divide by the size of `x` instead, which does not depend on the
      lengths of answers (Dr. GRPO, Liu et al., 2025, § 3.1).
  """
  weights = weights * mask
  total = jnp.sum(jnp.where(mask, weights * x, 0.0))
  if constant:
    return total / x.size
  return total / jnp.maximum(jnp.sum(weights), 1e-6)


def policy_cross_entropy(
  log_probs: chex.Array, weights: chex.Array
) -> chex.Array:
  """Return −Σ_k w_k log π(step_k | s) (Anthony et al., 2017, eq. 3; AlphaZero).

  Args:
    log_probs: `[..., J]`, log-probability of each candidate step.
    weights: `[..., J]`, the improved policy; zeros give no loss.
  """
  return -jnp.sum(jnp.where(weights > 0, weights * log_probs, 0.0), axis=-1)


def kl_divergence(
  log_probs: chex.Array, reference_log_probs: chex.Array
) -> chex.Array:
  """Return KL(π‖π_ref) of the next token, exactly; shape `[...]`.

  An estimate from one token, such as π_ref/π − 1 − log(π_ref/π), has no bound
  where the token was sampled by an older policy and π has left it.

  Args:
    log_probs: `[..., V]`, log π.
    reference_log_probs: `[..., V]`, log π_ref.
  """
  difference = log_probs - reference_log_probs
  return jnp.sum(jnp.exp(log_probs) * difference, axis=-1)


def value_cross_entropy(
  value_logits: chex.Array, targets: chex.Array
) -> chex.Array:
  """Return BCE(sigmoid(v), z), for targets z in [0, 1]; shape `[...]`."""
  return optax.sigmoid_binary_cross_entropy(value_logits, targets)
