"""Curricula: larger problems in time, and those that are hard, not hopeless."""

import dataclasses

import chex
import jax
import jax.numpy as jnp


@dataclasses.dataclass
class Curriculum:
  """The largest level of the problems drawn, by iteration.

  A level rises when the share of episodes solved in an iteration reaches a
  threshold. What an iteration brought is known one iteration late, so the rise
  takes effect two iterations later, whether or not anything was waited for: a
  resumed run draws the same problems.

  Attributes:
    last: the highest level.
    threshold: share of episodes solved at which the level rises.
    schedule: `[iteration, level]`, from which iteration on which level holds.
    ahead: rounds that are played before the one that is learned from; a rise
      takes effect so many iterations later still.
  """

  last: int
  threshold: float
  schedule: list[list[int]]
  ahead: int = 0

  def level(self, iteration: int) -> int:
    """Return the largest level of the problems that an iteration learns from.

    It is known once all iterations but the last before the play are recorded.
    """
    return [level for first, level in self.schedule if first <= iteration][-1]

  def record(self, iteration: int, solved: float) -> None:
    """Take note of an iteration; call it once for each, in order.

    Args:
      iteration: counted from 0.
      solved: share of its episodes that were solved.
    """
    first, level = self.schedule[-1]
    if iteration >= first and solved >= self.threshold and level < self.last:
      self.schedule.append([iteration + 2 + self.ahead, level + 1])


def unsure(values: chex.Array, rng_key: chex.PRNGKey, count: int) -> chex.Array:
  """Draw problems of whose outcome the policy is unsure, `[count]` int32.

  Without replacement, in proportion to v (1 − v), the variance of an outcome
  that is 1 with probability v: what is surely solved, or hopeless, is rare.

  Args:
    values: `[n]` in [0, 1], of the problems.
    rng_key: draws them (consumed).
    count: how many, at most n.
  """
  weights = jnp.log(jnp.maximum(values * (1 - values), 1e-6))
  noise = jax.random.gumbel(rng_key, values.shape)
  return jax.lax.top_k(weights + noise, count)[1]
