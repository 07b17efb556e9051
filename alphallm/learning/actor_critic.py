"""Actor and critic, corrected for the policy that played: V-trace."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.learning import (
  advantages,
  decisions,
  losses,
  replay,
  returns,
  scoring,
  surrogates,
)


@chex.dataclass(frozen=True)
class Attempt:
  """A whole episode.

  Attributes:
    steps: the steps played, `[R, ...]`; R is 1 where contexts append.
    rewards: `[D + 1]` float32.
    num_steps: `[]` int32.
    log_probs: `[D + 1]` float32, of the steps under the policy that played.
    discount: `[]` float32, γ, the same in all.
  """

  steps: replay.Example
  rewards: chex.Array
  num_steps: chex.Array
  log_probs: chex.Array
  discount: chex.Array


def _recall(
  apply_fn: Callable[..., Any], params: Any, batch: Attempt
) -> Attempt:
  steps = decisions.flat(batch.steps, 2)
  *says, _ = scoring.predict(apply_fn, params, steps)
  log_probs = scoring.score(steps, *says)
  return batch.replace(log_probs=log_probs.reshape(batch.rewards.shape))


def log_prob_of_search(episodes: types.Episode) -> chex.Array:
  """Return log μ of the steps played, `[..., D + 1]`, μ that of the search.

  That is the improved policy over the candidates that were recorded, at least
  1e-6, for a step that is none of them.
  """
  is_step = episodes.candidates == episodes.steps[..., None, :]
  weights = jnp.where(jnp.all(is_step, axis=-1), episodes.weights, 0.0)
  return jnp.log(jnp.maximum(jnp.sum(weights, axis=-1), 1e-6))


@dataclasses.dataclass(frozen=True)
class ActorCritic:
  """Advantage actor–critic with V-trace (Espeholt et al., 2018).

  Right after the episodes were played by the policy alone the advantages are
  r_t + γ v_{t + 1} − V(s_t), v the λ-returns; the further π is from what
  played, the less it learns.

  Attributes:
    behaviour: μ, what played: the `"policy"` of that time, or a `"search"`.
    ratio_clip: ρ̄, the most that π/μ may be.
    gae_lambda: λ of the λ-returns.
    normalize: whether the advantages of a batch get mean 0 and deviation 1:
      else a critic that expects too much, as at first, makes every step worse.
    value_weight: of the squared error of the value.
    entropy_weight: of the entropy of the next token.
  """

  nodes: ClassVar[str] = ""
  takes: ClassVar[str] = "values"
  augments: ClassVar[bool] = False
  refers: ClassVar[bool] = False

  behaviour: str = "policy"
  ratio_clip: float = 1.0
  gae_lambda: float = 1.0
  normalize: bool = True
  value_weight: float = 0.5
  entropy_weight: float = 0.0

  def __post_init__(self):
    if self.behaviour not in ("policy", "search"):
      raise ValueError(
        f"behaviour={self.behaviour!r} is neither policy nor search"
      )

  @property
  def least_group(self) -> int:
    return 1 if self.behaviour == "policy" else 0

  @property
  def recall(self) -> Callable[..., Any] | None:
    return _recall if self.behaviour == "policy" else None

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes, rng_key
    played, valid = decisions.attempts(episodes, done, setting.group_size)
    log_probs = jnp.zeros(played.ends.shape)
    if self.behaviour == "search":
      log_probs = log_prob_of_search(played)
    made = Attempt(
      steps=decisions.of_steps(played, valid),
      rewards=played.rewards,
      num_steps=played.num_steps,
      log_probs=log_probs,
      discount=jnp.full(valid.shape, setting.discount),
    )
    keep = valid & (played.num_steps > 0)
    return decisions.flat((made, keep), 2)

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    steps = decisions.flat(batch.steps, 2)
    *says, value_logits = scoring.predict(apply_fn, params, steps)
    log_probs = scoring.score(steps, *says).reshape(batch.rewards.shape)
    values = jax.nn.sigmoid(value_logits).reshape(batch.rewards.shape)
    mask = steps.mask.reshape(batch.rewards.shape)
    # What is not there has a ratio of 1, lest it overflow.
    log_ratio = jnp.where(mask > 0, log_probs - batch.log_probs, 0.0)
    targets, judged = jax.lax.stop_gradient(
      returns.vtrace(
        batch.rewards,
        values,
        jnp.exp(log_ratio),
        batch.num_steps,
        discount=batch.discount[0],
        lambda_=self.gae_lambda,
        most=self.ratio_clip,
      )
    )
    if self.normalize:
      judged = advantages.normalized(judged, mask)
    policy = surrogates.reinforce(log_probs, judged)
    is_clipped = log_ratio > jnp.log(self.ratio_clip)
    mean = lambda x: losses.weighted_mean(x, mask)
    metrics = {
      "policy_loss": mean(policy),
      "value_loss": mean(jnp.square(values - targets)),
      "entropy": scoring.entropy(steps, says),
      "approx_kl": mean(surrogates.approximate_kl(log_ratio, 0.0)),
      "ratio": mean(jnp.exp(log_ratio)),
      "clip_fraction": mean(is_clipped.astype(jnp.float32)),
    }
    total = metrics["policy_loss"] + self.value_weight * metrics["value_loss"]
    total -= self.entropy_weight * metrics["entropy"]
    return scoring.hold(
      total, metrics, apply_fn, steps, says, reference, kl_weight
    )
