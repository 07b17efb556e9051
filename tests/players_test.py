"""Episodes that strategies play, and searches that models guide."""

import dataclasses
import functools
import types

import fake_model
import jax
import numpy as np
import pytest
import saved_runs
import tiny_config
import toy_task
import trees
import unoptimized

from alphallm import config as config_lib
from alphallm import (
  judges,
  metrics,
  players,
  reward_models,
  search,
  selfplay,
  train,
)
from configs.learners import cloning

B, MOVES = 4, 3
TASK = toy_task.Walk("reset", max_steps=3)
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)


def first_slots(task, config, count):
  rng = np.random.default_rng(0)
  keys = jax.random.split(jax.random.key(0), count)
  problems = task.sample_numpy(rng, count, "train")
  slots = selfplay.start(task, config, keys, problems)
  drawn = task.sample_numpy(rng, count * MOVES, "train")
  return slots, jax.tree.map(
    lambda x: x.reshape(count, MOVES, *x.shape[1:]), drawn
  )


def test_a_round_of_a_strategy_is_its_answers_to_each_problem():
  config = selfplay.SelfPlayConfig(num_slots=B, num_moves=MOVES)
  slots, problems = first_slots(TASK, config, B)
  solve = search.beam(
    fake_model.apply_fn, TASK, width=2, num_candidates=2, permission="rules"
  )
  run = unoptimized.jit(functools.partial(selfplay.solve_round, solve))
  after, harvest = run(PARAMS, slots, problems)
  assert np.all(harvest.done) and np.all(after.num_moves == MOVES)
  again = unoptimized.jit(solve)
  cost = 0
  for move in range(MOVES):
    keys = jax.vmap(lambda key: jax.random.fold_in(key, move))(slots.rng_keys)  # noqa: B023
    part = jax.tree.map(lambda x: x[:, move], problems)  # noqa: B023
    found = again(PARAMS, keys, part)
    here = jax.tree.map(lambda x: x[:, move], harvest.episodes)  # noqa: B023
    trees.assert_near(here, found.episode)
    cost += found.cost.decoded
  np.testing.assert_array_equal(harvest.cost.decoded, cost)
  assert np.any(harvest.episodes.num_steps > 0)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """Save a policy of three blocks that knows nothing, and models of it."""
  workdir = tmp_path_factory.mktemp("run")
  saved_runs.policy(workdir, tiny_config.get_config())
  for kind in ("process", "outcome", "implicit"):
    saved_runs.reward_model(workdir, kind)
  return workdir


def run_of(workdir, name="process", **play):
  config = tiny_config.get_config().to_dict()
  config["search"]["process_reward"] = dict(workdir=str(workdir), name=name)
  config["selfplay"] |= dict(num_slots=B, num_moves=MOVES) | play
  config["learner"]["learn_from"] = "all"
  return config_lib.run_of(config)


@pytest.fixture
def on_the_toy(workdir, monkeypatch):
  """Return a function that makes the run of a toy, and of its model."""

  def make(**play):
    model = types.SimpleNamespace(apply=fake_model.apply_fn)
    run = dataclasses.replace(run_of(workdir, **play), task=TASK, model=model)
    config = reward_models.RewardConfig(kind="process")
    found = judges.Found(config=config, run=run)
    monkeypatch.setattr(judges, "guide", lambda *_: (found, (PARAMS, None)))
    return run

  return make


def test_a_model_guides_a_strategy(on_the_toy):
  """Other parameters of the model, other episodes, without compiling again."""
  guidance = "0.9*process_reward + 0.1*value"
  run = on_the_toy(player="beam", budget=8, guidance=guidance)
  slots, problems = first_slots(TASK, run.selfplay, B)
  play = unoptimized.jit(players.Player(run))
  results = []
  for sign in 1, -1, 1:
    own = PARAMS | {"value": sign * PARAMS["value"]}
    results.append(play((PARAMS, (own, None)), slots, problems)[1].episodes)
  one, two, again = results
  trees.assert_near(one, again)
  assert np.any(one.steps != two.steps)


def test_a_model_guides_the_tree_search(on_the_toy, monkeypatch):
  run = on_the_toy()
  asked = []
  play_round = selfplay.play_round

  def recorded(*args, **options):
    asked.append(args[3].process_reward)
    return play_round(*args, **options)

  monkeypatch.setattr(selfplay, "play_round", recorded)
  slots, problems = first_slots(TASK, run.selfplay, B)
  both = PARAMS, (PARAMS, None)
  _, harvest = jax.eval_shape(players.Player(run), both, slots, problems)
  assert harvest.done.shape == (B, MOVES) and asked[0] is not None
  score = judges.guided(run).search.process_reward
  state = toy_task.Walk("reset").init(toy_task.problem_at(problems, (0, 0)))
  length = int(state.observation_length)
  said = fake_model.reference(PARAMS, state.observation[:length].tolist())[1]
  np.testing.assert_allclose(score(state), said, rtol=1e-5)
  config = config_lib.for_evaluation(judges.guided(run), 3)
  assert config.process_reward is not None


def test_what_guides_nothing_is_refused(workdir):
  for options, words in (
    (dict(name="implicit"), "guides no search: implicit models"),
    (dict(name="nobody"), "holds no reward model"),
    (
      dict(name="outcome", player="beam", budget=4, guidance="process_reward"),
      "config.selfplay: beam by process_reward: it tells nothing of",
    ),
    (
      dict(player="beam", budget=4, guidance="hope"),
      "config.selfplay.guidance: 'hope' is none of value",
    ),
  ):
    run = run_of(workdir, **options)
    with pytest.raises(config_lib.UserError, match=words):
      players.Player(run)


def test_models_are_named_in_guidances(workdir):
  task = run_of(workdir).task
  known, params = judges.named_in("0.5*process+0.5*value", workdir, task)
  assert list(known) == ["process"] and len(params) == 1
  assert not known["process"].needs_end
  known, _ = judges.named_in("outcome", workdir, task)
  assert known["outcome"].needs_end
  assert judges.named_in("value+nobody", workdir, task) == ({}, [])


@pytest.mark.slow
def test_a_run_imitates_what_a_beam_finds(workdir, tmp_path):
  config = cloning.get_config("tiny")
  del config.before
  config.search.process_reward = dict(workdir=str(workdir), name="process")
  config.selfplay.update(player="beam", budget=4, guidance="process_reward")
  config.learner.update(learn_from="all", min_examples=1)
  train.train(config, tmp_path)
  *_, last = metrics.read_metrics(tmp_path)
  assert (
    last["episodes"] == config.selfplay.num_slots * config.selfplay.num_moves
  )
