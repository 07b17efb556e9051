"""AlphaZero: the policy that a search has improved, and the outcome."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp

from alphallm.learning import losses, replay, scoring


def alphazero_loss(
  apply_fn: Callable[..., Any],
  params: Any,
  batch: replay.Example,
  *,
  value_weight: float = 1.0,
  reference: Any = None,
  kl_weight: float = 0.0,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Return −Σ_k w_k log π(step_k | s) + BCE(v(s), z) + β KL, and its parts.

  The policy term is a mean over the states that have a policy to learn, the
  value term over all (AlphaZero, Silver et al., 2018, eq. 1, with steps of
  language as actions). KL(π‖π_ref) is that of the next token, a mean over all
  tokens of the candidates.

  Args:
    apply_fn: the network.
    params: of the policy.
    batch: what is learned from.
    value_weight: of the value term.
    reference: the parameters of π_ref; `None`: there is no such term.
    kl_weight: β.
  """
  *policy_says, value_logits = scoring.predict(apply_fn, params, batch)
  log_probs = scoring.score(batch, *policy_says)
  has_policy = jnp.sum(batch.weights, axis=-1) > 0
  policy = losses.weighted_mean(
    losses.policy_cross_entropy(log_probs, batch.weights), has_policy
  )
  value = losses.weighted_mean(
    losses.value_cross_entropy(value_logits, batch.values), batch.mask
  )
  error = jnp.square(jax.nn.sigmoid(value_logits) - batch.values)
  metrics = {
    "policy_loss": policy,
    "value_loss": value,
    "value_error": losses.weighted_mean(error, batch.mask),
    "policy_share": jnp.mean(has_policy.astype(jnp.float32)),
  }
  loss = policy + value_weight * value
  return scoring.hold(
    loss, metrics, apply_fn, batch, policy_says, reference, kl_weight
  )


@dataclasses.dataclass(frozen=True)
class AlphaZero:
  """The improved policy and the outcome, at the states that were played.

  Attributes:
    value_weight: of the value's loss.
    learn_from: where the policy learns: `"solutions"`, solved paths that a
      search found; `"solved"` episodes; or `"all"` states.
    failure_share: share of the states that teach a value alone that is kept.
    td_lambda: λ of the value's targets, which are λ-returns over the values of
      the searches (TS-LLM, Feng et al., 2023); 1: the outcome alone.
  """

  nodes: ClassVar[str] = ""
  takes: ClassVar[str] = "values"
  least_group: ClassVar[int] = 0
  recall: ClassVar[None] = None
  augments: ClassVar[bool] = True
  refers: ClassVar[bool] = False

  value_weight: float = 1.0
  learn_from: str = "solutions"
  failure_share: float = 0.25
  td_lambda: float = 1.0

  def __post_init__(self):
    if self.learn_from not in ("solutions", "solved", "all"):
      raise ValueError(
        f"learn_from={self.learn_from!r} is none of solutions, solved, all"
      )

  def examples(self, episodes, done, nodes, rng_key, setting):
    del nodes
    return replay.to_examples(
      episodes,
      done,
      rng_key,
      discount=setting.discount,
      learn_from=self.learn_from,
      failure_share=self.failure_share,
      td_lambda=self.td_lambda,
    )

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return alphazero_loss(
      apply_fn,
      params,
      batch,
      value_weight=self.value_weight,
      reference=reference,
      kl_weight=kl_weight,
    )


@dataclasses.dataclass(frozen=True)
class TreeAlphaZero:
  """The improved policy and the search's value at all nodes of its trees.

  Nodes are learned from in proportion to their visits. Of the candidates of a
  node the heaviest are imitated, as many as of a state that was played.

  A tree stops when it has solved, so that the nodes on the way to a solution
  are those with the fewest visits. With `learn_from="solutions"` all of them
  are learned from: the step that the shortest solution takes, and the return
  that it earns; other nodes teach their value alone.

  Attributes:
    value_weight: of the value's loss.
    learn_from: where the policy learns: `"all"` nodes, or `"solutions"`.
    failure_share: share of the nodes that teach a value alone that is kept,
      of what is kept by their visits.
  """

  nodes: ClassVar[str] = "all"
  takes: ClassVar[str] = ""
  least_group: ClassVar[int] = 0
  recall: ClassVar[None] = None
  augments: ClassVar[bool] = True
  refers: ClassVar[bool] = False

  value_weight: float = 1.0
  learn_from: str = "all"
  failure_share: float = 1.0

  def __post_init__(self):
    if self.learn_from not in ("all", "solutions"):
      raise ValueError(
        f"learn_from={self.learn_from!r} is neither all nor solutions"
      )
    if self.learn_from == "all" and self.failure_share != 1:
      raise ValueError(
        f"failure_share={self.failure_share}: all nodes teach a policy; give "
        "learn_from='solutions'"
      )

  def examples(self, episodes, done, nodes, rng_key, setting):
    del episodes, done
    if self.learn_from == "solutions":
      solved = nodes.num_left > 0
      earned = setting.discount ** (nodes.num_left - 1.0)
      nodes = nodes.replace(
        weights=nodes.solution,
        value=jnp.where(solved, earned, nodes.value),
        share=jnp.where(solved, 1.0, self.failure_share * nodes.share),
      )
    heaviest, kept = jax.lax.top_k(nodes.weights, setting.num_targets)
    total = jnp.sum(heaviest, axis=-1, keepdims=True)
    weights = heaviest / jnp.maximum(total, 1e-9)
    nodes = replay.of_candidates(nodes, kept, weights)
    return replay.of_nodes(nodes, rng_key)

  def loss(self, apply_fn, params, batch, *, reference=None, kl_weight=0.0):
    return alphazero_loss(
      apply_fn,
      params,
      batch,
      value_weight=self.value_weight,
      reference=reference,
      kl_weight=kl_weight,
    )
