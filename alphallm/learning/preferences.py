"""Losses of pairs, the better against the worse (direct preferences)."""

import chex
import jax
import jax.numpy as jnp


def margins(
  log_probs: chex.Array,
  reference_log_probs: chex.Array,
  lengths: chex.Array | None = None,
) -> chex.Array:
  """Return log π/π_ref of the better minus that of the worse, `[...]`.

  Args:
    log_probs: `[..., 2]`, log π of the better and of the worse.
    reference_log_probs: `[..., 2]`, log π_ref.
    lengths: `[..., 2]`, tokens of each, by which its term is divided (DPO with
      length normalization, Lambert et al., 2024, eq. 6); `None`: by nothing.
  """
  ratios = log_probs - reference_log_probs
  if lengths is not None:
    ratios = ratios / jnp.maximum(lengths, 1)
  return ratios[..., 0] - ratios[..., 1]


def dpo(margin: chex.Array, beta: float) -> chex.Array:
  """Return −log σ(β margin) (Rafailov et al., 2023, eq. 7)."""
  return -jax.nn.log_sigmoid(beta * margin)


def ipo(margin: chex.Array, beta: float) -> chex.Array:
  """Return (margin − 1 / 2β)² (IPO, Azar et al., 2023, eq. 17)."""
  return jnp.square(margin - 1 / (2 * beta))
