"""Reward models of other runs: found, asked, and refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import saved_runs
import tiny_config

from alphallm import config as config_lib
from alphallm import judges, metrics, rewards, selfplay, train
from alphallm.learning import payment
from configs.learners import grpo


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """Save a policy of three blocks that knows nothing, and models of it."""
  workdir = tmp_path_factory.mktemp("run")
  saved_runs.policy(workdir, tiny_config.get_config())
  for kind in ("process", "implicit"):
    saved_runs.reward_model(workdir, kind)
  return workdir


def paid_by(workdir, **settings):
  model = dict(kind="model", workdir=str(workdir), name="process")
  config = tiny_config.get_config().to_dict()
  return config_lib.run_of(config | {"reward": model | settings})


def test_a_model_is_found_and_asked(workdir):
  run = paid_by(workdir, dense=True)
  payer = judges.Payer(run)
  ((own, policy),) = payer.params
  assert policy is None
  problems = run.task.sample_numpy(np.random.default_rng(0), 4, "train")
  keys = jax.random.split(jax.random.key(0), 4)
  slots = selfplay.start(run.task, run.selfplay, keys, problems)
  move = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
  episodes = move(slots.trace.episode).replace(
    num_steps=jnp.ones((4, 1), jnp.int32),
    legal=jnp.ones((4, 1, run.task.max_steps + 1), bool),
  )
  harvest = selfplay.Harvest(
    episodes=episodes, done=jnp.ones((4, 1), bool), cost=None
  )
  pay = jax.jit(functools.partial(payer, run.model.apply))
  found = pay(payer.params, harvest, own)
  one = jax.tree.map(lambda x: x[:, 0], episodes)
  score = rewards.model.reward(run.model.apply, own)
  wanted = score(rewards.Solution.of((), one)).steps / run.task.max_steps
  np.testing.assert_allclose(found.rewards[:, 0, :-1], wanted, rtol=1e-5)
  assert np.all(wanted[:, 0] > 0)


def test_what_does_not_fit_is_refused(workdir, tmp_path):
  def refused(run, words):
    with pytest.raises(config_lib.UserError, match=words):
      judges.Payer(run)

  refused(paid_by(workdir, name="outcome"), "holds no reward model")
  refused(paid_by(tmp_path), "holds no reward model")
  refused(paid_by(workdir, name="implicit"), "do not lie in \\[0, 1\\]")
  run = paid_by(workdir)
  task = dataclasses.replace(run.task, context="append")
  refused(dataclasses.replace(run, task=task), "not the text of")
  saved_runs.reward_model(workdir, "world")
  shaping = payment.Model(str(workdir), "world")
  refused(
    dataclasses.replace(run, reward=payment.PaymentConfig(shaping=shaping)),
    "world models have no potential",
  )
  with pytest.raises(config_lib.UserError, match="foresee no states"):
    judges.world(workdir, "process", run.task)
  with pytest.raises(config_lib.UserError, match="holds no reward model"):
    judges.world(workdir, "outcome", run.task)
  shaping = payment.Model(str(workdir), "implicit")
  refused(
    dataclasses.replace(run, reward=payment.PaymentConfig(shaping=shaping)),
    "implicit models have no potential",
  )


@pytest.mark.slow
def test_a_run_is_paid_by_a_model(workdir, tmp_path):
  config = grpo.get_config("tiny")
  config.reward = dict(
    kind="mixture",
    parts=(
      dict(kind="model", workdir=str(workdir), name="implicit", weight=0.5),
      dict(kind="confidence", weight=0.5),
    ),
    length_budget=8,
    length_weight=0.1,
  )
  train.train(config, tmp_path)
  *_, last = metrics.read_metrics(tmp_path)
  assert last["reward"] != last["solved"]
