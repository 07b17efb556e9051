"""Proximal policy optimization: PPO, on trees too, and GRPO."""

import dataclasses
import functools
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
class PPO(policy_gradient.OnPolicy):
  """Proximal policy optimization (Schulman et al., 2017), with GAE.

  Attributes:
    clip: ε.
    clip_high: ε', where it differs from ε; 0: it does not.
    unit: what has a ratio of its own, a `"step"` or a `"token"`.
    gae_lambda: λ.
    normalize: whether the advantages of a round get mean 0 and deviation 1.
    value_weight: of the squared error of the value.
    value_clip: how near the old value the new one is held; 0: nowhere.
    entropy_weight: of the entropy of the next token.
  """

  clip: float = 0.2
  clip_high: float = 0.0
  unit: str = "step"
  gae_lambda: float = 0.95
  normalize: bool = True
  value_weight: float = 0.5
  value_clip: float = 0.2
  entropy_weight: float = 0.0

  def __post_init__(self):
    policy_gradient.check("unit", self.unit, ("step", "token"))

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes, rng_key
    played, valid = decisions.attempts(episodes, done, setting.group_size)
    judged = returns.gae(
      played.rewards,
      played.root_values,
      played.num_steps,
      discount=setting.discount,
      lambda_=self.gae_lambda,
    )
    targets = judged + played.root_values
    if self.normalize:
      there = returns.is_step(played.num_steps, judged.shape[-1])
      judged = advantages.normalized(judged, there & valid[..., None])
    return decisions.of_attempts(
      played, valid, judged, targets, jnp.ones_like(judged)
    )

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    clips = dict(clip=self.clip, clip_high=self.clip_high or None)
    return policy_gradient.loss(
      apply_fn,
      params,
      batch,
      functools.partial(surrogates.clipped, **clips),
      unit=self.unit,
      **clips,
      value_weight=self.value_weight,
      value_clip=self.value_clip,
      entropy_weight=self.entropy_weight,
      reference=reference,
      kl_weight=kl_weight,
    )


@dataclasses.dataclass(frozen=True)
class TreePPO(policy_gradient.OnPolicy):
  """PPO on every node that a search has expanded, weighted by visits.

  The advantage of each candidate that was visited is Q − V (as in TreeRL, Hou
  et al., 2025), the target of the value is the search's.

  Attributes:
    clip: ε.
    normalize: whether the advantages of a round get mean 0 and deviation 1.
    value_weight: of the squared error of the value.
    entropy_weight: of the entropy of the next token.
  """

  nodes: ClassVar[str] = "all"
  takes: ClassVar[str] = ""
  least_group: ClassVar[int] = 0

  clip: float = 0.2
  normalize: bool = True
  value_weight: float = 0.5
  entropy_weight: float = 0.0

  def examples(self, episodes, done, nodes, rng_key, setting):
    del episodes, done, setting
    made, keep = decisions.of_nodes(nodes, rng_key)
    if self.normalize:
      mask = (made.weights > 0) & keep.reshape(-1, 1, 1)
      judged = advantages.normalized(made.advantages, mask)
      made = made.replace(advantages=judged)
    return made, keep

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return policy_gradient.loss(
      apply_fn,
      params,
      batch,
      functools.partial(surrogates.clipped, clip=self.clip),
      clip=self.clip,
      value_weight=self.value_weight,
      entropy_weight=self.entropy_weight,
      reference=reference,
      kl_weight=kl_weight,
    )


@dataclasses.dataclass(frozen=True)
class GRPO(policy_gradient.OnPolicy):
  """Group-relative policy optimization (Shao et al., 2024), and its heirs.

  As it was: `use_std` and `mean="sequence"`. Dr. GRPO (Liu et al., 2025): no
  `use_std`, `mean="constant"`. DAPO (Yu et al., 2025): `clip_high=0.28`,
  `mean="token"`, `dynamic_sampling`.

  Attributes:
    clip: ε.
    clip_high: ε', where it differs from ε; 0: it does not.
    unit: what has a ratio of its own, a `"step"` or a `"token"`.
    use_std: whether advantages are divided by the deviation of their group.
    mean: over the `"token"`s of all answers, over answers of the means over
      their tokens (`"sequence"`), or a sum over a `"constant"`.
    dynamic_sampling: whether groups whose attempts all ended alike are left
      out, so that batches hold others.
    entropy_weight: of the entropy of the next token.
  """

  takes: ClassVar[str] = "sums"
  least_group: ClassVar[int] = 2

  clip: float = 0.2
  clip_high: float = 0.0
  unit: str = "token"
  use_std: bool = True
  mean: str = "sequence"
  dynamic_sampling: bool = False
  entropy_weight: float = 0.0

  def __post_init__(self):
    policy_gradient.check("unit", self.unit, ("step", "token"))
    policy_gradient.check("mean", self.mean, ("token", "sequence", "constant"))

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes, rng_key
    return policy_gradient.compare(
      self._judge, episodes, done, setting.group_size
    )

  def _judge(self, came, valid, played):
    judged = advantages.grpo(came, valid, use_std=self.use_std)
    weights = jnp.ones_like(came)
    if self.mean == "sequence":
      there = returns.is_step(played.num_steps, played.ends.shape[-1])
      units = there * (played.step_lengths if self.unit == "token" else 1)
      weights = 1 / jnp.maximum(jnp.sum(units, axis=-1), 1)
    if self.dynamic_sampling:
      valid &= advantages.is_mixed(came, valid)[:, None]
    return judged, valid, weights

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    clips = dict(clip=self.clip, clip_high=self.clip_high or None)
    return policy_gradient.loss(
      apply_fn,
      params,
      batch,
      functools.partial(surrogates.clipped, **clips),
      unit=self.unit,
      constant=self.mean == "constant",
      **clips,
      entropy_weight=self.entropy_weight,
      reference=reference,
      kl_weight=kl_weight,
    )
