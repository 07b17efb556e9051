"""Behaviour cloning, and expert iteration: imitate what was solved."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from alphallm.learning import alphazero, decisions, replay, selection


@dataclasses.dataclass(frozen=True)
class Cloning:
  """Imitate the steps of selected episodes, and learn the value from all.

  With `learn_from="solved"` it is expert iteration: STaR (Zelikman et al.,
  2022), with `most_per_problem` ReST-EM (Singh et al., 2023), with a
  `value_weight` also V-STaR, whose verifier learns from failures too (Hosseini
  et al., 2024; here by cross-entropy).

  Attributes:
    learn_from: `"solved"` episodes; the `"best"` of the attempts at a problem,
      by what they earned; or `"all"`: all steps that were legal.
    most_per_problem: attempts at a problem that are imitated; 0: all.
    least_reward: what the best have earned at least.
    value_weight: of the value's loss.
    failure_share: share of the states that teach a value alone that is kept.
  """

  nodes: ClassVar[str] = ""
  takes: ClassVar[str] = "values"
  least_group: ClassVar[int] = 0
  recall: ClassVar[None] = None
  augments: ClassVar[bool] = True
  refers: ClassVar[bool] = False

  learn_from: str = "solved"
  most_per_problem: int = 0
  least_reward: float = 0.0
  value_weight: float = 1.0
  failure_share: float = 0.25

  def __post_init__(self):
    if self.learn_from not in ("solved", "best", "all"):
      raise ValueError(
        f"learn_from={self.learn_from!r} is none of solved, best, all"
      )
    by_reward = self.learn_from == "best"
    if by_reward and not self.most_per_problem:
      raise ValueError("learn_from='best' needs most_per_problem above 0")
    if self.least_reward and not by_reward:
      raise ValueError("least_reward is of learn_from='best'")

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes
    select_key, keep_key = jax.random.split(rng_key)
    played, valid = decisions.attempts(episodes, done, setting.group_size)
    chosen, most = valid, self.most_per_problem
    if self.learn_from == "solved":
      chosen = selection.solved(played.solved, valid)
    if self.learn_from == "best":
      chosen = selection.best(
        jnp.sum(played.rewards, axis=-1),
        valid,
        most,
        select_key,
        least=self.least_reward,
      )
    elif most:
      chosen = selection.at_most(chosen, most, select_key)
    # Where no candidate was legal there is nothing to imitate.
    is_legal = jnp.sum(played.weights, axis=-1, keepdims=True) > 0
    played = played.replace(
      candidates=played.steps[..., None, :],
      candidate_lengths=played.step_lengths[..., None],
      weights=is_legal.astype(jnp.float32),
      on_solution=jnp.broadcast_to(chosen[..., None], played.mask.shape),
    )
    return replay.to_examples(
      played,
      valid,
      keep_key,
      discount=setting.discount,
      learn_from="solutions",
      failure_share=self.failure_share,
    )

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return alphazero.alphazero_loss(
      apply_fn,
      params,
      batch,
      value_weight=self.value_weight,
      reference=reference,
      kl_weight=kl_weight,
    )
