"""Moves one by one on the host are those of the loop on the device."""

import dataclasses

import fake_model
import jax
import numpy as np
import pytest
import toy_task

from alphallm.search import moves, play, policies, search_config

TASK = toy_task.Walk("append", max_steps=3)
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)
CONFIG = search_config.SearchConfig(
  num_simulations=4,
  num_candidates=3,
  max_depth=3,
  play_solution=False,
  policy=policies.Gumbel(gumbel_scale=0.0),
)


@pytest.mark.parametrize("carry_over", [False, True])
def test_moves_are_those_of_solve(carry_over):
  config = dataclasses.replace(CONFIG, carry_over=carry_over)
  problems = TASK.sample_numpy(np.random.default_rng(0), 4)
  keys = jax.random.split(jax.random.key(0), 4)
  whole = jax.jit(
    lambda p, k, x: play.solve(fake_model.apply_fn, TASK, config, p, k, x)
  )(PARAMS, keys, problems)
  run = moves.moves(fake_model.apply_fn, TASK, config)
  found = list(run(PARAMS, keys, problems))
  traces = [trace for _, trace in found]
  assert not traces[0].state.terminated.all()
  assert traces[-1].state.terminated.all()
  np.testing.assert_array_equal(traces[-1].episode.steps, whole.episode.steps)
  for name, spent in whole.cost.items():
    np.testing.assert_array_equal(
      sum(np.asarray(move.cost[name]) for move, _ in found), spent
    )


def test_by_likelihood_a_leaf_is_worth_the_step_that_led_there():
  config = dataclasses.replace(
    CONFIG, permission="nothing", leaf_value="likelihood", discount=1.0
  )
  problems = TASK.sample_numpy(np.random.default_rng(0), 4)
  keys = jax.random.split(jax.random.key(0), 4)
  run = moves.moves(fake_model.apply_fn, TASK, config)
  move, _ = next(run(PARAMS, keys, problems))
  tree = move.tree
  priors = np.asarray(tree.children_prior_logits)
  for row, node in np.argwhere(np.asarray(tree.parents) >= 0):
    parent = int(tree.parents[row, node])
    action = int(tree.action_from_parent[row, node])
    held = jax.tree.map(lambda x, at=(row, parent): x[at], tree.embeddings)
    likelihood = float(held.likelihoods[action])
    assert 0 < likelihood < 1
    logits = priors[row, parent]
    again = likelihood ** int(held.lengths[action])
    first = held.likelihoods[0] ** int(held.lengths[0])
    gap = logits[action] - logits[0]
    np.testing.assert_allclose(np.log(again / first), gap, atol=1e-3)
    reward = float(tree.children_rewards[row, parent, action])
    value = float(tree.raw_values[row, node])
    parent_over = bool(held.state.terminated)
    assert reward + value == pytest.approx(0 if parent_over else likelihood)


def test_likelihood_excludes_rollouts():
  with pytest.raises(ValueError, match="exclude each other"):
    dataclasses.replace(CONFIG, leaf_value="likelihood", rollout_steps=1)
  with pytest.raises(ValueError, match="neither network nor likelihood"):
    dataclasses.replace(CONFIG, leaf_value="hope")
