"""Values of leaves by playing on, against plain Python."""

import numpy as np
import pytest
import toy_searches as shared
import toy_task

from alphallm.search import search_config


@pytest.mark.parametrize("kind", ["append", "reset"])
@pytest.mark.parametrize("steps", [1, 3])
def test_values_are_those_of_greedy_games(kind, steps):
  config = shared.changed(
    rollout_steps=steps, rollout_weight=0.75, num_simulations=6
  )
  run = shared.searcher(shared.TASKS[kind], config)
  earned = 0
  for seed in range(2):
    problems = shared.toy_problems(seed)
    move = run(shared.PARAMS, shared.keys_like(shared.B, seed), problems)
    plain = shared.searcher(
      shared.TASKS[kind], shared.changed(num_simulations=6)
    )(shared.PARAMS, shared.keys_like(shared.B, seed), problems)
    assert np.all(move.cost.decoded > plain.cost.decoded)
    for row in range(shared.B):
      oracle = shared.reference(
        config,
        toy_task.problem_at(problems, row),
        resets=kind == "reset",
      )
      shared.assert_equal_trees(move, row, oracle)
      earned += np.sum(move.tree.raw_values[row] > 0.75)
  assert earned  # some games were won


def test_rollouts_must_earn_rewards():
  with pytest.raises(ValueError, match="rollouts need permission"):
    search_config.SearchConfig(rollout_steps=2, permission="rules")
