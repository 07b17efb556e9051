"""REINFORCE, its gradient as it is: with baselines, RLOO and ReMax."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from alphallm.learning import (
  advantages,
  decisions,
  policy_gradient,
  returns,
  surrogates,
)


@dataclasses.dataclass(frozen=True)
class Reinforce(policy_gradient.OnPolicy):
  """REINFORCE (Williams, 1992): G_t, less a baseline.

  Attributes:
    baseline: `"none"`, the `"mean"` of all returns, or the `"value"`.
    value_weight: of the squared error of the value, if it is the baseline; else
      the value is not learned, and this is 0.
    entropy_weight: of the entropy of the next token.
  """

  baseline: str = "mean"
  value_weight: float = 0.0
  entropy_weight: float = 0.0

  @property
  def takes(self) -> str:
    return "values" if self.baseline == "value" else "returns"

  def __post_init__(self):
    policy_gradient.check("baseline", self.baseline, ("none", "mean", "value"))
    if (self.baseline == "value") != (self.value_weight > 0):
      raise ValueError(
        f"value_weight={self.value_weight}: the value is learned where it is "
        f"the baseline, and baseline={self.baseline!r}"
      )

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes, rng_key
    played, valid = decisions.attempts(episodes, done, setting.group_size)
    came = returns.discounted(
      played.rewards, played.num_steps, setting.discount
    )
    there = returns.is_step(played.num_steps, came.shape[-1])
    there &= valid[..., None]
    if self.baseline == "mean":
      judged = advantages.mean_baseline(came, there)
    else:
      judged = came - (self.baseline == "value") * played.root_values
    return decisions.of_attempts(
      played, valid, judged, came, jnp.ones_like(came)
    )

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return policy_gradient.loss(
      apply_fn,
      params,
      batch,
      lambda log_probs, _, judged: surrogates.reinforce(log_probs, judged),
      value_weight=self.value_weight,
      entropy_weight=self.entropy_weight,
      reference=reference,
      kl_weight=kl_weight,
    )


@dataclasses.dataclass(frozen=True)
class RLOO(policy_gradient.OnPolicy):
  """REINFORCE with the mean of the other attempts (Ahmadian et al., 2024).

  Attributes:
    entropy_weight: of the entropy of the next token.
  """

  takes: ClassVar[str] = "sums"
  least_group: ClassVar[int] = 2

  entropy_weight: float = 0.0

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes, rng_key
    return policy_gradient.compare(
      self._judge, episodes, done, setting.group_size
    )

  def _judge(self, came, valid, played):
    del played
    return advantages.rloo(came, valid), valid, jnp.ones_like(came)

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return policy_gradient.loss(
      apply_fn,
      params,
      batch,
      lambda log_probs, _, judged: surrogates.reinforce(log_probs, judged),
      entropy_weight=self.entropy_weight,
      reference=reference,
      kl_weight=kl_weight,
    )


@dataclasses.dataclass(frozen=True)
class ReMax(RLOO):
  """REINFORCE less the return of the greedy attempt (Li et al., 2023).

  Needs `selfplay.greedy_first`: the first attempt of each group is greedy, and
  nothing is learned from it.
  """

  def _judge(self, came, valid, played):
    del played
    sampled = valid.at[:, 0].set(False) & valid[:, :1]
    return advantages.remax(came, valid), sampled, jnp.ones_like(came)
