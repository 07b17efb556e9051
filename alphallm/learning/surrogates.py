"""What policy gradients minimize: pure functions of log-probabilities."""

import chex
import jax
import jax.numpy as jnp


def reinforce(log_probs: chex.Array, advantages: chex.Array) -> chex.Array:
  """Return −A log π, whose gradient is that of REINFORCE (Williams, 1992).

  Args:
    log_probs: `[...]`.
    advantages: `[...]`, taken as given.
  """
  return -jax.lax.stop_gradient(advantages) * log_probs


def clipped(
  log_probs: chex.Array,
  old_log_probs: chex.Array,
  advantages: chex.Array,
  *,
  clip: float,
  clip_high: float | None = None,
) -> chex.Array:
  """Return −min(ρA, clip(ρ, 1 − ε, 1 + ε') A).

  The surrogate of PPO (Schulman et al., 2017, eq. 7).

  Args:
    log_probs: `[...]`.
    old_log_probs: `[...]`, of the policy that ρ compares with.
    advantages: `[...]`.
    clip: ε.
    clip_high: ε'; `None`: as ε. A larger one leaves improbable tokens room to
      grow (clip-higher of DAPO, Yu et al., 2025, eq. 10).
  """
  clip_high = clip if clip_high is None else clip_high
  ratio = jnp.exp(log_probs - old_log_probs)
  near = jnp.clip(ratio, 1 - clip, 1 + clip_high)
  return -jnp.minimum(ratio * advantages, near * advantages)


def is_clipped(
  log_probs: chex.Array,
  old_log_probs: chex.Array,
  advantages: chex.Array,
  *,
  clip: float,
  clip_high: float | None = None,
) -> chex.Array:
  """Return where `clipped` has no gradient, `[...]` bool."""
  clip_high = clip if clip_high is None else clip_high
  ratio = jnp.exp(log_probs - old_log_probs)
  return ((ratio > 1 + clip_high) & (advantages > 0)) | (
    (ratio < 1 - clip) & (advantages < 0)
  )


def importance_weighted(
  log_probs: chex.Array,
  old_log_probs: chex.Array,
  advantages: chex.Array,
  *,
  most: float,
) -> chex.Array:
  """Return −min(ρ̄, ρ) A log π, ρ taken as given (V-trace's policy gradient).

  Args:
    log_probs: `[...]`.
    old_log_probs: `[...]`, of the policy that played.
    advantages: `[...]`.
    most: ρ̄ (Espeholt et al., 2018, § 4.2).
  """
  ratio = jnp.minimum(jnp.exp(log_probs - old_log_probs), most)
  return reinforce(log_probs, jax.lax.stop_gradient(ratio) * advantages)


def value_error(
  values: chex.Array,
  old_values: chex.Array,
  targets: chex.Array,
  *,
  clip: float = 0.0,
) -> chex.Array:
  """Return (V − target)², with V held near the old one if `clip` is above 0.

  That is max((V − z)², (V_old + clip(V − V_old, ±ε) − z)²), as in the code of
  PPO (Engstrom et al., 2020, § 3).
  """
  error = jnp.square(values - targets)
  if not clip:
    return error
  near = old_values + jnp.clip(values - old_values, -clip, clip)
  return jnp.maximum(error, jnp.square(near - targets))


def approximate_kl(
  log_probs: chex.Array, old_log_probs: chex.Array
) -> chex.Array:
  """Return (ρ − 1) − log ρ, at least 0, whose mean over the old policy is KL.

  The estimator k3 (Schulman, 2020) of KL(π_old‖π), ρ = π/π_old.
  """
  difference = log_probs - old_log_probs
  return jnp.expm1(difference) - difference


def adapted(kl_weight: chex.Array, kl: chex.Array, target: float) -> chex.Array:
  """Return β for the next round (PPO, Schulman et al., 2017, § 4).

  It is halved where KL is below target / 1.5, and doubled where it is above
  1.5 target.
  """
  factor = jnp.where(kl > 1.5 * target, 2.0, 1.0)
  return kl_weight * jnp.where(kl < target / 1.5, 0.5, factor)
