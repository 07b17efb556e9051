"""The kinds of learners, by name, and what each asks of a run."""

import dataclasses
from typing import Any

from alphallm import values
from alphallm.learning import (
  actor_critic,
  alphazero,
  cloning,
  dpo,
  learner,
  objective,
  payment,
  ppo,
  reinforce,
)

KINDS = {
  "ActorCritic": actor_critic.ActorCritic,
  "AlphaZero": alphazero.AlphaZero,
  "Cloning": cloning.Cloning,
  "DPO": dpo.DPO,
  "GRPO": ppo.GRPO,
  "PPO": ppo.PPO,
  "Reinforce": reinforce.Reinforce,
  "ReMax": reinforce.ReMax,
  "RLOO": reinforce.RLOO,
  "StepDPO": dpo.StepDPO,
  "TreeAlphaZero": alphazero.TreeAlphaZero,
  "TreePPO": ppo.TreePPO,
}

COMMON = tuple(
  field.name for field in dataclasses.fields(learner.LearnerConfig)
)


def make(
  settings: dict[str, Any],
) -> tuple[learner.LearnerConfig, objective.Objective]:
  """Return how and what is learned from `{"kind": ..., ...}`.

  The options of the kind stand beside those that all kinds have.

  Raises:
    UserError: if an option is unknown, of another kind, or out of range.
  """
  settings = dict(settings)
  kind = settings.pop("kind", "AlphaZero")
  if kind not in KINDS:
    raise values.UserError(
      f"config.learner.kind={kind!r} is none of {', '.join(KINDS)}"
    )
  names = [field.name for field in dataclasses.fields(KINDS[kind])]
  values.check_names("learner.", settings, (*COMMON, *names))
  own = {k: v for k, v in settings.items() if k in names}
  common = {k: v for k, v in settings.items() if k not in names}
  return (
    values.make(learner.LearnerConfig, "learner", common),
    values.make(KINDS[kind], "learner", own),
  )


def check(
  what: objective.Objective,
  how: learner.LearnerConfig,
  play: Any,
  search: Any,
  reward: payment.PaymentConfig,
  *,
  is_pretrained: bool,
) -> None:
  """Raise unless a learner fits the rest of a run.

  Args:
    what: is learned.
    how: it is learned.
    play: the `SelfPlayConfig`.
    search: the `SearchConfig` of self-play.
    reward: what it learns from.
    is_pretrained: whether the run begins with a pretrained model.

  Raises:
    UserError: one line that says what does not fit.
  """
  kind = type(what).__name__
  no_reference = not (is_pretrained or how.reference_every)
  refers = how.kl_weight or what.refers
  asks = search.num_simulations and search.permission != "nothing"
  greedy = play.greedy_first
  alone = not search.num_simulations and search.num_candidates == 1
  is_outcome = reward == payment.PaymentConfig()
  learn_from = getattr(what, "learn_from", "")
  follows = what.recall or hasattr(what, "behaviour")
  for is_wrong, line in (
    (
      how.kl_weight and no_reference,
      f"learner.kl_weight={how.kl_weight} needs config.model.pretrained, to "
      "which it holds the policy, or config.learner.reference_every",
    ),
    (
      what.refers and no_reference,
      f"learner.kind={kind!r} needs a reference: config.model.pretrained, or "
      "config.learner.reference_every",
    ),
    (
      how.reference_every and not refers,
      f"learner.reference_every={how.reference_every}: without a kl_weight "
      "nothing refers to it",
    ),
    (
      how.kl_target and not how.kl_weight,
      f"learner.kl_target={how.kl_target} needs a kl_weight to adapt",
    ),
    (
      play.group_size < what.least_group,
      f"selfplay.group_size={play.group_size}: {kind} needs at least "
      f"{what.least_group}",
    ),
    (
      what.least_group and search.plays_solution,
      f"search.play_solution=True: {kind} learns from steps that the policy "
      "has chosen; set it to False, or config.selfplay.player to 'policy'",
    ),
    (
      getattr(what, "td_lambda", 1) < 1 and search.plays_solution,
      "learner.td_lambda below 1 needs config.search.play_solution=False: what "
      "is played without a search has no value of one",
    ),
    (
      what.recall and not how.max_age,
      f"learner.max_age=0: {kind} learns from what the present policy has "
      "played (1), or those just before it",
    ),
    (
      how.augment and not what.augments,
      f"learner.augment=True: {kind} compares with what was played, and that "
      "was not augmented",
    ),
    (
      how.worked and (what.least_group or what.nodes),
      f"learner.worked={how.worked}: {kind} does not imitate",
    ),
    (
      what.nodes and not asks,
      f"learner.kind={kind!r} learns from trees: it needs "
      "config.search.num_simulations and permission 'rules' or 'checker'",
    ),
    (
      not (what.takes or is_outcome),
      f"reward: {kind} learns from the values of trees, and takes no other "
      "reward; let a model guide the search, by config.search.process_reward",
    ),
    (
      learn_from == "solved" and not is_outcome,
      "learner.learn_from='solved' asks the environment, and config.reward is "
      "another; give "
      + ("'best'" if kind == "Cloning" else "'all' or 'solutions'"),
    ),
    (
      how.worked and not is_outcome,
      f"learner.worked={how.worked}: worked answers earn what the environment "
      "pays, and config.reward is another",
    ),
    (
      play.is_strategy and follows,
      f"selfplay.player={play.player!r}: {kind} needs to know how probable "
      "each step was to those who played; give 'policy' or 'search'",
    ),
    (
      play.is_strategy and learn_from == "solutions",
      f"selfplay.player={play.player!r}: learner.learn_from='solutions' are "
      "those found in trees; give 'solved' or 'all'",
    ),
    (
      reward.shaping is not None and what.takes == "values",
      f"reward.shaping: {kind} learns values, from which the potential would "
      "be taken away again; it is for Reinforce with baseline 'none' or 'mean'",
    ),
    (
      reward.shaping is not None and what.takes == "sums",
      f"reward.shaping: {kind} compares whole attempts at a problem, and of "
      "these shaping changes nothing",
    ),
    (
      greedy != (kind == "ReMax"),
      f"selfplay.greedy_first={greedy}: it is what ReMax needs, and no other "
      "learner",
    ),
    (
      greedy and not alone,
      "selfplay.greedy_first=True needs config.selfplay.player='policy': a "
      "search is not greedy",
    ),
  ):
    if is_wrong:
      raise values.UserError(f"config.{line}")
