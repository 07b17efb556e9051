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


def best(
  rewards: chex.Array,
  valid: chex.Array,
  most: int,
  rng_key: chex.PRNGKey,
  *,
  least: float = 0.0,
) -> chex.Array:
  """Return the `most` attempts at each problem that earned most, `[n, G]` bool.

  The part of the highest reward of all that was searched, D_expert of the
  roadmap (arXiv:2412.14135, section 6.2).

  Args:
    rewards: `[n, G]`.
    valid: `[n, G]` bool, attempts that are there.
    most: of them, for each problem.
    rng_key: draws among equals (consumed).
    least: what they have earned at least.
  """
  noise = jax.random.uniform(rng_key, rewards.shape)
  rank = jnp.argsort(jnp.lexsort((noise, -rewards, ~valid), axis=-1), axis=-1)
  return valid & (rank < most) & (rewards >= least)


def pair(
  rewards: chex.Array,
  valid: chex.Array,
  rng_key: chex.PRNGKey,
  *,
  least_gap: float,
) -> tuple[chex.Array, chex.Array]:
  """Draw one that earned most and one that earned least, at each problem.

  For DPO on solutions: of rewards of 0 and 1 a solved and a failed attempt.

  Args:
    rewards: `[n, G]`.
    valid: `[n, G]` bool, attempts that are there.
    rng_key: draws among equals (consumed).
    least_gap: between the two, so that noise is not learned.

  Returns:
    Places of the two, `[n, 2]` int32, and which problems have both, `[n]`.
  """
  noise = jax.random.uniform(rng_key, rewards.shape)
  most = jnp.max(jnp.where(valid, rewards, -jnp.inf), axis=-1)
  least = jnp.min(jnp.where(valid, rewards, jnp.inf), axis=-1)
  draw = lambda earned: jnp.argmax(
    jnp.where(valid & (rewards == earned[:, None]), noise, -1.0), axis=-1
  )
  both = (most - least >= least_gap) & (most > least)
  return jnp.stack([draw(most), draw(least)], axis=-1), both


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
