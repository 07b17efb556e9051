"""Direct preferences: pairs of solutions, and of steps from one state."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from alphallm.learning import (
  decisions,
  losses,
  preferences,
  replay,
  scoring,
  selection,
)

_LOSSES = {"dpo": preferences.dpo, "ipo": preferences.ipo}


def _check(loss: str) -> None:
  if loss not in _LOSSES:
    raise ValueError(f"loss={loss!r} is none of {', '.join(_LOSSES)}")


def _of_pairs(objective, log_probs, reference_log_probs, lengths, mask):
  """Return the loss of pairs `[..., 2]`, and what there is to tell of it."""
  margin = preferences.margins(
    log_probs,
    jax.lax.stop_gradient(reference_log_probs),
    lengths if objective.by_length else None,
  )
  mean = lambda x: losses.weighted_mean(x, mask)
  policy = mean(_LOSSES[objective.loss_kind](margin, objective.beta))
  better = mean(log_probs[..., 0] / jnp.maximum(lengths[..., 0], 1))
  return policy - objective.likelihood_weight * better, {
    "policy_loss": policy,
    "margin": mean(margin),
    "accuracy": mean((margin > 0).astype(jnp.float32)),
    "log_prob_of_better": mean(log_probs[..., 0]),
  }


@dataclasses.dataclass(frozen=True)
class DPO:
  """Direct preference optimization (Rafailov et al., 2023) of solutions.

  Of each group of attempts one that earned most is preferred to one that earned
  least: a solved one to a failed one, where the outcome is the reward.

  Attributes:
    beta: β, how little π may leave π_ref.
    loss_kind: `"dpo"`, or `"ipo"` (Azar et al., 2023).
    by_length: whether log-probabilities are divided by their tokens.
    least_gap: between what the two have earned.
    likelihood_weight: of −log π of the better, a mean over its tokens, without
      which both may become improbable (Pang et al., 2024, eq. 2).
  """

  nodes: ClassVar[str] = ""
  takes: ClassVar[str] = "sums"
  least_group: ClassVar[int] = 2
  recall: ClassVar[None] = None
  augments: ClassVar[bool] = False
  refers: ClassVar[bool] = True

  beta: float = 0.1
  loss_kind: str = "dpo"
  by_length: bool = False
  least_gap: float = 0.1
  likelihood_weight: float = 0.0

  def __post_init__(self):
    _check(self.loss_kind)

  def examples(self, episodes, done, nodes, rng_key, setting):
    """Pairs are examples `[2, R, ...]`, the better first."""
    del nodes
    played, valid = decisions.attempts(episodes, done, setting.group_size)
    places, both = selection.pair(
      jnp.sum(played.rewards, axis=-1),
      valid,
      rng_key,
      least_gap=self.least_gap,
    )
    rows = jnp.arange(len(places))[:, None]
    pairs = jax.tree.map(lambda x: x[rows, places], played)
    return decisions.of_steps(pairs, jnp.ones_like(places, bool)), both

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    steps = decisions.flat(batch, 3)
    sides = batch.mask.shape[:2]  # [b, 2]
    total = lambda x: jnp.sum(x.reshape(*sides, -1), axis=-1)
    there = steps.mask[..., None]
    log_probs = lambda says: total(scoring.score(steps, *says) * there)
    *says, _ = scoring.predict(apply_fn, params, steps)
    *reference_says, _ = scoring.predict(apply_fn, reference, steps)
    loss, metrics = _of_pairs(
      self,
      log_probs(says),
      log_probs(reference_says),
      total(steps.lengths * there),
      jnp.ones(sides[:1]),
    )
    kl = scoring.divergence(steps, says, jax.lax.stop_gradient(reference_says))
    return loss + kl_weight * kl, metrics | {"kl": kl}


@dataclasses.dataclass(frozen=True)
class StepDPO:
  """Direct preferences among the steps of one state, from trees.

  Of the candidates that were visited enough the one of the highest Q is
  preferred to that of the lowest (Xie et al., 2024); an illegal one has Q = 0.

  Attributes:
    beta: β, how little π may leave π_ref.
    loss_kind: `"dpo"`, or `"ipo"` (Azar et al., 2023).
    by_length: whether log-probabilities are divided by their tokens.
    whole_tree: whether all nodes are learned from, or the roots alone.
    least_gap: between the Q of the two.
    least_visits: of each.
    value_weight: of the value's loss, whose target is the search's.
    likelihood_weight: of −log π of the better, as in `DPO`.
  """

  takes: ClassVar[str] = ""
  least_group: ClassVar[int] = 0
  recall: ClassVar[None] = None
  augments: ClassVar[bool] = True
  refers: ClassVar[bool] = True

  beta: float = 0.1
  loss_kind: str = "dpo"
  by_length: bool = False
  whole_tree: bool = False
  least_gap: float = 0.3
  least_visits: int = 2
  value_weight: float = 1.0
  likelihood_weight: float = 0.0

  def __post_init__(self):
    _check(self.loss_kind)

  @property
  def nodes(self) -> str:
    return "all" if self.whole_tree else "roots"

  def examples(self, episodes, done, nodes, rng_key, setting):
    """The two candidates of an example have weights of 1 where they count."""
    del episodes, done, setting
    places, both = selection.siblings(
      nodes.qvalues,
      jnp.where(nodes.illegal, self.least_visits, nodes.visits),
      least_gap=self.least_gap,
      least_visits=self.least_visits,
    )
    weights = jnp.broadcast_to(both[..., None], places.shape) * 1.0
    nodes = replay.of_candidates(nodes, places, weights)
    return replay.of_nodes(nodes, rng_key)

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    *says, value_logits = scoring.predict(apply_fn, params, batch)
    *reference_says, _ = scoring.predict(apply_fn, reference, batch)
    loss, metrics = _of_pairs(
      self,
      scoring.score(batch, *says),
      scoring.score(batch, *reference_says),
      batch.lengths,
      batch.weights[..., 0],
    )
    metrics["value_loss"] = losses.weighted_mean(
      losses.value_cross_entropy(value_logits, batch.values), batch.mask
    )
    kl = scoring.divergence(batch, says, jax.lax.stop_gradient(reference_says))
    loss += self.value_weight * metrics["value_loss"] + kl_weight * kl
    return loss, metrics | {"kl": kl}
