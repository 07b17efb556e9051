"""What followed a step: returns, advantages, and targets of the value.

All take episodes `[..., D]` of which the first `num_steps` steps are there;
what lies behind them is zero in every result. An episode that is over, by its
end or by the cap on its steps, is worth nothing any more.
"""

import chex
import jax
import jax.numpy as jnp


def is_step(num_steps: chex.Array, length: int) -> chex.Array:
  """Return which of `length` steps are there, `[..., length]` bool."""
  places = jnp.arange(length).reshape((1,) * num_steps.ndim + (length,))
  return places < num_steps[..., None]


def _backwards(step, *arrays: chex.Array) -> chex.Array:
  """Return x_t = step(x_{t + 1}, arrays at t), with x = 0 behind the last."""
  moved = [jnp.moveaxis(x, -1, 0) for x in arrays]

  def body(later, now):
    x = step(later, *now)
    return x, x

  _, xs = jax.lax.scan(body, jnp.zeros_like(moved[0][0]), moved, reverse=True)
  return jnp.moveaxis(xs, 0, -1)


def discounted(
  rewards: chex.Array, num_steps: chex.Array, discount: float
) -> chex.Array:
  """Return G_t = r_t + γ G_{t + 1} (Sutton & Barto, 2018, eq. 3.9).

  Args:
    rewards: `[..., D]`, of the step taken at t.
    num_steps: `[...]` int32.
    discount: γ.
  """
  rewards = rewards * is_step(num_steps, rewards.shape[-1])
  return _backwards(lambda later, reward: reward + discount * later, rewards)


def _errors(rewards, values, num_steps, discount):
  """Return δ_t = r_t + γ V(s_{t + 1}) − V(s_t), and V with zeros at the end."""
  there = is_step(num_steps, rewards.shape[-1])
  values = values * there
  behind = jnp.zeros_like(values[..., :1])
  after = jnp.concatenate([values[..., 1:], behind], axis=-1)
  return (rewards + discount * after - values) * there, values


def gae(
  rewards: chex.Array,
  values: chex.Array,
  num_steps: chex.Array,
  *,
  discount: float,
  lambda_: float,
) -> chex.Array:
  """Return A_t = Σ_k (γλ)^k δ_{t + k} (Schulman et al., 2016, eq. 16).

  With λ = 0 that is r_t + γ V(s_{t + 1}) − V(s_t), with λ = 1 G_t − V(s_t).

  Args:
    rewards: `[..., D]`.
    values: `[..., D]`, V(s_t).
    num_steps: `[...]` int32.
    discount: γ.
    lambda_: λ.
  """
  errors, _ = _errors(rewards, values, num_steps, discount)
  decay = discount * lambda_
  return _backwards(lambda later, error: error + decay * later, errors)


def td_lambda(
  rewards: chex.Array,
  values: chex.Array,
  num_steps: chex.Array,
  *,
  discount: float,
  lambda_: float,
) -> chex.Array:
  """Return the λ-return of each state, the target of its value.

  G^λ_t = r_t + γ ((1 − λ) V(s_{t + 1}) + λ G^λ_{t + 1}) (Sutton & Barto, 2018,
  eq. 12.2, which TS-LLM, Feng et al., 2023, learns its values from).

  Args:
    rewards: `[..., D]`.
    values: `[..., D]`, V(s_t), of the network or of a search.
    num_steps: `[...]` int32.
    discount: γ.
    lambda_: λ; with 1 these are the returns.
  """
  options = dict(discount=discount, lambda_=lambda_)
  there = is_step(num_steps, rewards.shape[-1])
  return (gae(rewards, values, num_steps, **options) + values) * there


def vtrace(
  rewards: chex.Array,
  values: chex.Array,
  ratios: chex.Array,
  num_steps: chex.Array,
  *,
  discount: float,
  lambda_: float = 1.0,
  most: float = 1.0,
) -> tuple[chex.Array, chex.Array]:
  """Return V-trace targets and advantages (Espeholt et al., 2018, eq. 1).

  v_t = V(s_t) + δ_t ρ_t + γ λ c_t (v_{t + 1} − V(s_{t + 1})), with both ρ_t and
  c_t the ratio, clipped from above; the advantages are
  ρ_t (r_t + γ v_{t + 1} − V(s_t)). Ratios of 1 give the targets of `td_lambda`.

  Args:
    rewards: `[..., D]`.
    values: `[..., D]`, V(s_t).
    ratios: `[..., D]`, π/μ of the step, π the policy that learns and μ the one
      that played.
    num_steps: `[...]` int32.
    discount: γ.
    lambda_: λ.
    most: ρ̄ = c̄, above which ratios are clipped.

  Returns:
    The targets v_t and the advantages.
  """
  errors, values = _errors(rewards, values, num_steps, discount)
  weights = jnp.minimum(ratios, most)
  decay = discount * lambda_
  above = _backwards(
    lambda later, error, weight: weight * (error + decay * later),
    errors,
    weights,
  )
  targets = values + above
  behind = jnp.zeros_like(targets[..., :1])
  after = jnp.concatenate([targets[..., 1:], behind], axis=-1)
  there = is_step(num_steps, rewards.shape[-1])
  advantages = weights * (rewards + discount * after - values)
  return targets, advantages * there
