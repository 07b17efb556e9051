"""How much better an attempt was than others: baselines from returns alone.

All take the returns of G attempts at each of n problems, `[n, G]`, and which of
them are there, `[n, G]` bool; the advantage of one that is not there is zero.
"""

import chex
import jax.numpy as jnp


def _mean(x, mask, axis=-1):
  count = jnp.sum(mask, axis=axis, keepdims=True)
  return jnp.sum(x * mask, axis=axis, keepdims=True) / jnp.maximum(count, 1)


def mean_baseline(returns: chex.Array, valid: chex.Array) -> chex.Array:
  """Return R − mean of all R (REINFORCE with a baseline, Williams, 1992)."""
  return (returns - _mean(returns, valid, axis=None)) * valid


def grpo(
  returns: chex.Array, valid: chex.Array, *, use_std: bool = True
) -> chex.Array:
  """Return (R_i − mean R) / std R within each group (Shao et al., 2024, § 4.1).

  Args:
    returns: `[n, G]`.
    valid: `[n, G]` bool.
    use_std: whether to divide by the standard deviation, which gives problems
      that are nearly always or nearly never solved more weight; without it the
      advantages are those of Dr. GRPO (Liu et al., 2025, § 3.2).
  """
  centred = (returns - _mean(returns, valid)) * valid
  if not use_std:
    return centred
  variance = _mean(jnp.square(centred), valid)
  return centred / (jnp.sqrt(variance) + 1e-6)


def rloo(returns: chex.Array, valid: chex.Array) -> chex.Array:
  """Return R_i − the mean of the other R (Ahmadian et al., 2024, eq. 8).

  A group with one attempt teaches nothing.
  """
  count = jnp.sum(valid, axis=-1, keepdims=True)
  others = jnp.sum(returns * valid, axis=-1, keepdims=True) - returns * valid
  advantages = returns - others / jnp.maximum(count - 1, 1)
  return advantages * (valid & (count > 1))


def remax(returns: chex.Array, valid: chex.Array) -> chex.Array:
  """Return R_i − R of the greedy attempt (ReMax, Li et al., 2023, eq. 4).

  The greedy attempt is the first of each group. Its own advantage is zero, and
  so are all of a group that lacks it.
  """
  sampled = (valid & valid[..., :1]).at[..., 0].set(False)
  return (returns - returns[..., :1]) * sampled


def is_mixed(returns: chex.Array, valid: chex.Array) -> chex.Array:
  """Return which groups have attempts of different returns, `[n]` bool.

  The others have no gradient: dynamic sampling leaves them out (DAPO, Yu et
  al., 2025, eq. 11).
  """
  low = jnp.min(jnp.where(valid, returns, jnp.inf), axis=-1)
  high = jnp.max(jnp.where(valid, returns, -jnp.inf), axis=-1)
  return high - low > 1e-6


def normalized(advantages: chex.Array, mask: chex.Array) -> chex.Array:
  """Return advantages of mean 0 and deviation 1 where `mask` is set, else 0."""
  centred = (advantages - _mean(advantages, mask, axis=None)) * mask
  variance = _mean(jnp.square(centred), mask, axis=None)
  return centred / (jnp.sqrt(variance) + 1e-6)
