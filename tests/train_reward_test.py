"""The program on a run of three blocks; and what it refuses."""

import dataclasses
import json

import jax
import numpy as np
import programs
import pytest
import saved_runs
import tiny_config

from alphallm import config as config_lib
from alphallm import (
  judges,
  reward_data,
  reward_models,
  reward_trees,
  rewards,
  train_reward,
)
from alphallm.rewards import training

SMALL = {
  "num_problems": 12,
  "num_samples": 4,
  "num_held_out": 12,
  "num_rollouts": 2,
  "rules_propose": True,
  "fit": {"num_steps": 4, "batch_size": 8},
}


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({"kind": "oracle"}, "none of outcome"),
    ({"kind": "process", "labels": "mine"}, "none of soft"),
    ({"kind": "process", "aggregate": "most"}, "none of last"),
    ({"kind": "process", "num_samples": 1}, "below 2"),
    ({"kind": "process", "depth": 1}, "config.depth is unknown"),
    ({"kind": "process", "fit": 1}, "not a dict"),
    ({"kind": "process", "fit": {"trunk": "oak"}}, "none of policy"),
    ({"kind": "process", "fit": {"num_steps": 0}}, "fit.num_steps=0"),
    ({"kind": "expert", "fit": {"augment": True}}, "tokens that were written"),
    ({"kind": "world", "fit": {"trunk": "shared"}}, "layers of a world model"),
    ({"kind": "world", "unroll": 0}, "unroll=0"),
    ({}, "kind"),
  ],
)
def test_configs_that_cannot_be_are_refused(settings, words):
  with pytest.raises(config_lib.UserError, match=words):
    reward_models.make_config(settings)


def test_the_configs_of_all_kinds_are_read():
  from configs.rewards import process

  for kind in reward_models.KINDS:
    settings = process.get_config(kind).to_dict()
    assert settings.pop("name") == kind
    config = reward_models.make_config(settings)
    assert config == reward_models.RewardConfig(
      kind=kind, fit=training.FitConfig()
    )


def test_a_workdir_without_a_policy_is_refused(tmp_path):
  with pytest.raises(config_lib.UserError, match="no run of a policy"):
    reward_models.policy_of(tmp_path)
  with pytest.raises(config_lib.UserError, match="no reward model"):
    reward_models.load(tmp_path, "process")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """Save a policy of three blocks that knows nothing as a run's."""
  workdir = tmp_path_factory.mktemp("run")
  saved_runs.policy(workdir, tiny_config.get_config())
  return workdir


@pytest.mark.slow
def test_kinds_of_models_are_trained_and_judged(workdir):
  run, policy = reward_models.policy_of(workdir)
  samples, right = train_reward.held_out(run, policy, 12, 4, rules_propose=True)
  assert right is None  # no solver tells
  assert 0 < samples.solved.mean() < 1
  for kind in ("pairwise", "implicit", "expert"):
    config = reward_models.make_config({"kind": kind} | SMALL)
    params, figures = reward_models.learn(config, run, policy)
    assert figures["examples"] > 0
    reward = reward_models.reward_of(config, run, params, policy)
    scores = train_reward.scores_of(reward, samples)
    assert 0 <= train_reward.figures_of(scores, samples, right)["auc"] <= 1
  config = dataclasses.replace(config, kind="process", labels="tree")
  _, figures = reward_models.learn(config, run, policy)
  assert figures["label_tokens"] > 0


def test_trees_are_searched_as_the_run_searches(workdir, monkeypatch):
  """By the run's own reward model, where it has one."""
  guided = []
  monkeypatch.setattr(judges, "guided", lambda run: guided.append(run) or "run")

  def learn(config, run, policy):
    assert run == "run"
    raise config_lib.UserError("no more of it")

  monkeypatch.setattr(reward_models, "learn", learn)
  config = reward_models.make_config({"kind": "process", "labels": "tree"})
  with pytest.raises(config_lib.UserError, match="no more of it"):
    train_reward.train(config, workdir, "by_trees")
  assert len(guided) == 1


@pytest.mark.slow
def test_the_program_saves_what_guides_a_search(workdir):
  settings = [
    f"--config.{name}={value}" for name, value in SMALL.items() if name != "fit"
  ]
  command = (
    "train_reward",
    "--config=configs/rewards/outcome.py",
    f"--workdir={workdir}",
    "--config.fit.num_steps=4",
    *settings,
  )
  ended = programs.run(*command)
  assert ended.code == 0, ended.err
  folder = workdir / "rewards" / "outcome"
  assert (
    f"auc: {json.loads((folder / 'summary.json').read_text())['auc']:.3f}"
    in (ended.out)
  )
  programs.assert_refused(
    programs.run(*command), "holds a reward model already"
  )
  config, _ = reward_models.load(workdir, "outcome")
  assert config.kind == "outcome" and config.fit.num_steps == 4
  command = (
    "evaluate",
    f"--config={programs.CONFIG}",
    f"--workdir={workdir}",
    "--methods=best_of_n",
    "--budgets=2",
    "--num_problems=4",
    "--nobefore",
  )
  ended = programs.run(*command, "--guidance=outcome")
  assert ended.code == 0, ended.err
  kept = {path.stem for path in (workdir / "evaluation" / "after").iterdir()}
  assert "best_of_n_2 checker outcome" in kept
  ended = programs.run(*command, "--guidance=process")
  programs.assert_refused(ended, "--guidance: 'process' is none of value")


def behind(text, step):
  """Return the text behind a step in blocks world and if that solves; or None.

  A row for each block: its name, what it stands on, what it must stand on.
  """
  on = {text[i]: text[i + 1] for i in range(0, len(text) - 1, 3)}
  goal = {text[i]: text[i + 2] for i in range(0, len(text) - 1, 3)}
  clear = [block for block in on if block not in on.values()]
  if len(step) != 3 or step[2] != "\n" or step[0] not in clear:
    return None
  block, place = step[:2]
  if place not in [*clear, "-"] or place in (block, on[block] * (place == "-")):
    return None
  on[block] = place
  solved = all(goal[b] in ("?", on[b]) for b in on)
  return "".join(b + on[b] + goal[b] for b in on) + "\n", solved


@pytest.mark.slow
def test_branches_are_what_the_rules_say(workdir):
  run, policy = reward_models.policy_of(workdir)
  problems = run.task.sample_numpy(np.random.default_rng(0), 6, "train")
  # A policy that knows nothing proposes nothing that is legal.
  own, proposed = (
    reward_trees.branches(
      run, policy, jax.random.key(0), problems, 4, 3, rules_propose=propose
    )
    for propose in (False, True)
  )
  assert not own.legal.any() and proposed.legal.any()
  walks = jax.tree.map(lambda *x: np.concatenate(x), own, proposed)
  decode = lambda tokens, n: run.task.tokenizer.decode(
    list(map(int, tokens[:n]))
  )
  assert walks.is_step[:, 0].all() and not walks.is_step[:, 1:].any()
  for row in range(len(walks.ends)):
    text, after = map(decode, walks.contexts[row, :2], walks.ends[row, :2])
    step = decode(walks.steps[row, 0], walks.step_lengths[row, 0])
    wanted = behind(text, step)
    assert walks.legal[row, 0] == (wanted is not None)
    if wanted:
      assert (after, bool(walks.rewards[row, 0])) == wanted
      assert walks.over[row, 0] == wanted[1]
    else:
      assert walks.over[row, 0] and not walks.rewards[row, 0]
  assert walks.rewards.any()


@pytest.mark.slow
def test_the_program_saves_a_world_that_is_searched_in(workdir):
  settings = [
    f"--config.{name}={value}" for name, value in SMALL.items() if name != "fit"
  ]
  ended = programs.run(
    "train_reward",
    "--config=configs/rewards/world.py",
    f"--workdir={workdir}",
    "--config.fit.num_steps=4",
    "--config.unroll=2",
    *settings,
  )
  assert ended.code == 0, ended.err
  found = json.loads(
    (workdir / "rewards" / "world" / "summary.json").read_text()
  )
  # Such a policy proposes nothing that is legal.
  assert {"state_1", "state_2", "illegal", "auc"} <= set(found)
  command = (
    "evaluate",
    f"--config={programs.CONFIG}",
    f"--workdir={workdir}",
    "--simulations=2",
    "--num_problems=4",
    "--nobefore",
  )
  ended = programs.run(*command, "--methods=greedy,embedded", "--world=world")
  assert ended.code == 0, ended.err
  assert "embedded_2" in ended.out
  ended = programs.run(*command, "--methods=embedded", "--world=mine")
  programs.assert_refused(ended, "rewards/mine holds no reward model")
  ended = programs.run(
    *command, "--methods=best_of_n", "--guidance=world", "--budgets=2"
  )
  programs.assert_refused(ended, "world models score steps, not states")


@pytest.mark.slow
def test_labels_by_rollouts_are_shares_of_what_is_played(workdir):
  """Of whole solutions the outcome, which rollouts of them do not change."""
  run, policy = reward_models.policy_of(workdir)
  problems = run.task.sample_numpy(np.random.default_rng(0), 8, "train")
  key = jax.random.key(0)
  samples = reward_data.sample(
    run, policy, key, problems, 4, rules_propose=True
  )
  again = reward_data.sample(run, policy, key, problems, 4, rules_propose=True)
  jax.tree.map(np.testing.assert_array_equal, samples, again)
  truth = jax.jit(rewards.base.environment(run.task))(samples.solution)
  np.testing.assert_array_equal(truth.outcome, samples.solved)
  rollouts = reward_data.Rollouts(run, policy, key, rules_propose=True)
  whole = rollouts(samples.solution, samples.solution.num_steps, 2)
  np.testing.assert_array_equal(whole, np.stack([samples.solved] * 2, axis=1))
  labels = reward_data.by_rollouts(rollouts, samples, 4, hard=False)
  rows, last = np.arange(len(labels)), samples.solution.num_steps - 1
  np.testing.assert_array_equal(labels[rows, last], samples.solved)
  assert set(np.unique(labels * 4)) <= {0, 1, 2, 3, 4}
