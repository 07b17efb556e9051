"""Who plays the episodes of a run: a tree search, the policy, or a strategy."""

import dataclasses
from typing import Any

from alphallm import config as config_lib
from alphallm import judges, methods, selfplay

GUIDE = "process_reward"  # what a guidance calls the model of the search


class Player:
  """Plays rounds of self-play; a plain function of its arguments.

  Attributes:
    params: of the model that guides, () where none does.
  """

  def __init__(self, run: config_lib.Run):
    """Find the model that guides, if one does.

    Raises:
      UserError: if there is none where one is named, or the guidance makes no
        sense for the strategy.
    """
    self._run, self._found, self.params = run, None, ()
    if run.guide is not None:
      self._found, self.params = judges.guide(run.guide, run.task)
    if run.selfplay.is_strategy:
      try:
        self._solver(self.params)
      except ValueError as error:
        raise config_lib.UserError(f"config.selfplay: {error}") from error

  def __call__(
    self, params: Any, slots: selfplay.Slots, problems: Any
  ) -> tuple[selfplay.Slots, selfplay.Harvest]:
    """Play a round, see `selfplay.play_round`.

    Args:
      params: of the policy, and of the model that guides.
      slots: the problems under way.
      problems: `[B, num_moves, ...]`.
    """
    run, (policy, model) = self._run, params
    if run.selfplay.is_strategy:
      solve = self._solver(model)
      return selfplay.solve_round(solve, policy, slots, problems)
    search = run.play_search
    if self._found and run.selfplay.player == "search":
      search = dataclasses.replace(
        search, process_reward=self._found.state_score(model)
      )
    return selfplay.play_round(
      run.model.apply,
      run.task,
      run.selfplay,
      search,
      policy,
      slots,
      problems,
      nodes=run.objective.nodes,
    )

  def _solver(self, model):
    run, guided, known = self._run, None, {}
    play = run.selfplay
    if self._found:
      known[GUIDE] = self._found.guidance(GUIDE, model)
    if play.guidance:
      guided = methods.guidance(
        play.guidance, run.task, known, where="config.selfplay.guidance"
      )
    return methods.solver(
      run,
      play.player,
      play.budget,
      guided=guided,
      permission=methods.usual_permission(run, play.player),
    )
