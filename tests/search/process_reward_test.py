"""Values of leaves by a process reward, against plain Python."""

import jax.numpy as jnp
import numpy as np
import pytest
import toy_searches as shared
import toy_task

from alphallm.search import search_config

SCORES = np.random.default_rng(0).random(len(toy_task.PLACES))


def process_reward(state):
  return jnp.asarray(SCORES)[state.inner.place]


@pytest.mark.parametrize(
  ("permission", "weight", "rollout_steps"),
  [("rules", 1.0, 0), ("checker", 0.25, 2)],
)
def test_values_are_scores_mixed_with_others(permission, weight, rollout_steps):
  config = shared.changed(
    permission=permission,
    process_reward=process_reward,
    process_weight=weight,
    rollout_steps=rollout_steps,
    rollout_weight=0.5,
    num_simulations=6,
  )
  run = shared.searcher(shared.TASKS["append"], config)
  problems = shared.toy_problems()
  move = run(shared.PARAMS, shared.keys_like(shared.B), problems)
  for row in range(shared.B):
    oracle = shared.reference(
      config, toy_task.problem_at(problems, row), process_scores=SCORES
    )
    shared.assert_equal_trees(move, row, oracle)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"permission": "nothing"}, "needs permission"),
    ({"leaf_value": "likelihood"}, "exclude each other"),
    ({"process_weight": 1.5}, "is not 0 to 1"),
    ({"process_reward": "a model"}, "is a function"),
  ],
)
def test_a_process_reward_that_cannot_be_is_refused(options, words):
  with pytest.raises(ValueError, match=words):
    search_config.SearchConfig(**{"process_reward": process_reward, **options})
