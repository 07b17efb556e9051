"""Tests of what programs of a run will need."""

import jax
import numpy as np
import pytest
import tiny_config

from alphallm import config as config_lib
from alphallm import forecast, sharding
from alphallm import trainer as trainer_lib
from alphallm.compiled import roofline

CHIP = roofline.Chip("chip", flops=1e12, bandwidth=1e11, memory=1e9)


@pytest.fixture(scope="module")
def trainer():
  run = config_lib.make_run(tiny_config.get_config())
  return trainer_lib.Trainer(run, sharding.make_mesh(devices=jax.devices()[:1]))


@pytest.fixture(scope="module")
def made(trainer):
  return forecast.programs(trainer)


def test_bytes_of_the_state_are_those_that_it_has(trainer):
  state, told = trainer.init(), forecast.state_bytes(trainer)
  size = lambda tree: sum(
    jax.random.key_data(x).nbytes
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    else x.nbytes
    for x in jax.tree.leaves(tree)
  )
  assert told["parameters"] == size(state.learner.params)
  assert told["optimizer"] == size(state.learner.opt_state)
  assert told["slots"] == size(state.slots)
  assert told["replay"] == size(state.replay)
  assert told["reference"] == 0


def test_nodes_and_tokens_of_the_programs(trainer, made):
  run = trainer.run
  assert list(made) == ["self_play", "learn", "greedy", "mcts"]
  play = made["self_play"]
  assert play.nodes == 16 * 2 * 4
  assert play.tokens == play.nodes * 4 * (run.task.max_step_tokens - 1)
  assert made["greedy"].nodes == 16 * run.task.max_steps
  assert made["mcts"].nodes == 4 * made["greedy"].nodes
  context = run.task.max_observation_tokens
  candidates = run.selfplay.num_targets * run.task.max_step_tokens
  assert made["learn"].tokens == 8 * (context + candidates)
  total = sum(forecast.state_bytes(trainer).values())
  assert 0 < made["learn"].held < total


def test_what_does_not_fit_does_not(made):
  one = made["learn"]
  told = {
    "memory": {"arguments": one.held, "temporaries": int(4e8)},
    "roofline_seconds": 2.0,
  }
  judge = lambda state: forecast.judged(told, one, state, 2, CHIP)
  good, bad = judge(one.held + int(5e8)), judge(one.held + int(6e8))
  assert good["fits"] and not bad["fits"]
  assert good["needed"] == one.held + int(9e8)
  rate = good["expected"]["tokens_per_second_per_chip"]
  assert rate == pytest.approx(one.tokens / 4)


def test_layers_are_extended_in_a_line():
  figures = lambda n: {
    "flops": 7 + 3 * n,
    "seconds": 0.5 * n,
    "kinds": {"all-gather": {"count": 2 * n}} if n > 1 else {},
    "loops": [["f", 2, "exact"]],
  }
  found = forecast.extend(figures(2), figures(4), (2, 4), 80)
  assert found == figures(80)
  found = forecast.extend(figures(1), figures(2), (1, 2), 3)
  assert found["kinds"] == {"all-gather": {"count": 8}}


@pytest.mark.slow
def test_a_deep_network_does_the_work_that_shallow_ones_foretell(trainer):
  mesh = sharding.make_mesh(devices=jax.devices()[:1])

  def at(depth):
    run = forecast.at_depth(trainer.run, depth)
    made = forecast.programs(trainer_lib.Trainer(run, mesh))["greedy"]
    return forecast.foresee(made, run, CHIP)[0]

  first, second, deep = map(at, (1, 2, 4))
  told = forecast.extend(first, second, (1, 2), 4)
  np.testing.assert_allclose(told["flops"], deep["flops"])
  np.testing.assert_allclose(told["bytes"], deep["bytes"], rtol=0.02)
