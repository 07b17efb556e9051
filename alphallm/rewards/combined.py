"""Rewards made of others: aggregated, in an ensemble, penalised, mixed."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

import chex
import jax.numpy as jnp

from alphallm.rewards import base

Aggregate = Literal["last", "min", "product", "mean"]
Ensemble = Literal["mean", "min", "uncertainty"]


def aggregate(
  steps: chex.Array, mask: chex.Array, how: Aggregate
) -> chex.Array:
  """Return one score for each solution from those of its steps, `[B]`.

  Lightman et al., 2023 (product, min), Snell et al., 2024 (last).

  Args:
    steps: `[B, D]`.
    mask: `[B, D]` bool, which steps are there, the first ones.
    how: to aggregate. Of no steps the minimum and the product are 1, the last
      and the mean 0.
  """
  check_aggregate(how)
  if how == "min":
    return jnp.min(jnp.where(mask, steps, 1.0), axis=-1)
  if how == "product":
    return jnp.prod(jnp.where(mask, steps, 1.0), axis=-1)
  count = jnp.sum(mask, axis=-1)
  if how == "mean":
    total = jnp.sum(jnp.where(mask, steps, 0.0), axis=-1)
    return total / jnp.maximum(count, 1)
  at = jnp.maximum(count - 1, 0)[..., None]
  last = jnp.take_along_axis(steps, at, axis=-1)[..., 0]
  return jnp.where(count > 0, last, 0.0)


def check_aggregate(how: str) -> None:
  """Raise ValueError unless `how` is a way to aggregate."""
  known = get_args(Aggregate)
  if how not in known:
    raise ValueError(f"aggregate={how!r} is none of {', '.join(known)}")


def combine(
  scores: chex.Array, how: Ensemble, *, weight: float = 1.0
) -> chex.Array:
  """Return the scores of an ensemble from those of its M members, `[...]`.

  Coste et al., 2024: the mean, the least (worst case), or the mean less
  `weight` times the variance between members (uncertainty-weighted).

  Args:
    scores: `[M, ...]`.
    how: to combine.
    weight: λ of the variance.
  """
  if how == "mean":
    return jnp.mean(scores, axis=0)
  if how == "min":
    return jnp.min(scores, axis=0)
  if how == "uncertainty":
    return jnp.mean(scores, axis=0) - weight * jnp.var(scores, axis=0)
  raise ValueError(f"ensemble={how!r} is none of mean, min, uncertainty")


def length_penalty(
  lengths: chex.Array, *, budget: int, weight: float
) -> chex.Array:
  """Return λ·max(0, length − budget)/budget, `[...]`.

  Args:
    lengths: `[...]` int32, tokens of each solution.
    budget: tokens that cost nothing, at least 1.
    weight: λ.
  """
  over = jnp.maximum(lengths - budget, 0)
  return weight * over.astype(jnp.float32) / budget


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
  """Which rewards make up a reward, and how."""

  parts: tuple[tuple[str, float], ...]  # a reward's name and its weight
  aggregate: str = ""  # of the mixed steps, for the outcome; "": outcomes mixed
  length_budget: int = 0  # tokens that cost nothing; 0: no penalty
  length_weight: float = 1.0  # λ of the penalty

  def __post_init__(self):
    if not self.parts:
      raise ValueError("a mixture needs at least one part")
    if self.aggregate:
      check_aggregate(self.aggregate)
    if self.length_budget < 0:
      raise ValueError(f"length_budget={self.length_budget} is below 0")


def mixture(
  config: MixtureConfig, rewards: dict[str, base.Reward]
) -> base.Reward:
  """Return the weighted sum of rewards, less a penalty for length.

  Args:
    config: what is mixed.
    rewards: by name, those of the config among them.

  Raises:
    ValueError: if one is missing.
  """
  for name, _ in config.parts:
    if name not in rewards:
      raise ValueError(
        f"mixture: {name!r} is none of {', '.join(sorted(rewards))}"
      )

  def score(solution: base.Solution) -> base.Scores:
    scored = [
      (rewards[name](solution), weight) for name, weight in config.parts
    ]
    steps = sum(weight * part.steps for part, weight in scored)
    outcome = sum(weight * part.outcome for part, weight in scored)
    if config.aggregate:
      outcome = aggregate(steps, solution.is_step, config.aggregate)
    if config.length_budget:
      outcome -= length_penalty(
        jnp.sum(solution.step_lengths, axis=-1),
        budget=config.length_budget,
        weight=config.length_weight,
      )
    return base.Scores(steps=steps, outcome=outcome)

  return score


def ensemble(
  members: Sequence[base.Reward], how: Ensemble, *, weight: float = 1.0
) -> base.Reward:
  """Return the reward of an ensemble; see `combine`.

  Raises:
    ValueError: if there is no member.
  """
  if not members:
    raise ValueError("an ensemble needs at least one member")

  def score(solution: base.Solution) -> base.Scores:
    scored = [member(solution) for member in members]
    both = lambda x: combine(jnp.stack(x), how, weight=weight)
    return base.Scores(
      # Where there is no step all members say 0.
      steps=both([part.steps for part in scored]),
      outcome=both([part.outcome for part in scored]),
    )

  return score
