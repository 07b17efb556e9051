"""Which attempts are imitated: the ways of expert iteration.

All take what G attempts at each of n problems came to, `[n, G]`.
"""

import chex
import jax
import jax.numpy as jnp


def solved(success: chex.Array, valid: chex.Array) -> chex.Array:
  """Return the attempts that solved (STaR, Zelikman et al., 2022).

  Args:
    success: `[n, G]` bool.
    valid: `[n, G]` bool, attempts that are there.
  """
  return success & valid


def at_most(chosen: chex.Array, most: int, rng_key: chex.PRNGKey) -> chex.Array:
  """Return up to `most` of each problem's chosen attempts, drawn at random.

  So that easy problems do not outnumber the others (ReST-EM, Singh et al.,
  2023, § 4, with 10 a problem).

  Args:
    chosen: `[n, G]` bool.
    most: of them, for each problem.
    rng_key: draws them (consumed).
  """
  order = jax.random.uniform(rng_key, chosen.shape) + ~chosen
  rank = jnp.argsort(jnp.argsort(order, axis=-1), axis=-1)
  return chosen & (rank < most)


def pair(
  success: chex.Array, valid: chex.Array, rng_key: chex.PRNGKey
) -> tuple[chex.Array, chex.Array]:
  """Draw a solved and a failed attempt at each problem.

  For DPO on solutions, and for the verifier of V-STaR (Hosseini et al., 2024),
  which learns from both kinds what STaR learns from one.

  Args:
    success: `[n, G]` bool.
    valid: `[n, G]` bool, attempts that are there.
    rng_key: draws them (consumed).

  Returns:
    Places of the two, `[n, 2]` int32, and which problems have both, `[n]`.
  """
  noise = jax.random.uniform(rng_key, success.shape)
  better, worse = success & valid, ~success & valid
  best = lambda mask: jnp.argmax(jnp.where(mask, noise, -1.0), axis=-1)
  both = jnp.any(better, axis=-1) & jnp.any(worse, axis=-1)
  return jnp.stack([best(better), best(worse)], axis=-1), both


def siblings(
  qvalues: chex.Array,
  visits: chex.Array,
  *,
  least_gap: float,
  least_visits: int,
) -> tuple[chex.Array, chex.Array]:
  """Choose the best and the worst of a state's steps that were visited enough.

  Step-level preferences from a tree (Xie et al., 2024, § 3.1).

  Args:
    qvalues: `[..., K]`.
    visits: `[..., K]` int32.
    least_gap: between the two, so that noise is not learned.
    least_visits: of each.

  Returns:
    Places of the two, `[..., 2]` int32, and where there are two, `[...]` bool.
  """
  seen = visits >= least_visits
  high = jnp.where(seen, qvalues, -jnp.inf)
  low = jnp.where(seen, qvalues, jnp.inf)
  both = jnp.max(high, axis=-1) - jnp.min(low, axis=-1) >= least_gap
  places = jnp.stack([jnp.argmax(high, -1), jnp.argmin(low, -1)], axis=-1)
  return places, both & jnp.any(seen, axis=-1)
