"""Learners by the training program."""

import programs
import pytest

from alphallm import metrics

CONFIGS = programs.ROOT / "configs" / "learners"


def train(name, workdir, *options):
  config = f"--config={CONFIGS / name}.py:tiny"
  ended = programs.run("train", config, f"--workdir={workdir}", *options)
  assert ended.code == 0, ended.err
  return metrics.read_metrics(workdir)


@pytest.mark.slow
def test_stages_follow_each_other_and_go_on(tmp_path):
  """Rules, cloning and PPO, an iteration each; stopped after two, and whole."""
  options = (
    "--config.train.checkpoint_every=1",
    "--config.train.evaluate_every=1",
  )
  length = "--config.train.num_iterations={}".format
  whole = train("warm_up", tmp_path / "whole", *options, length(4))
  train("warm_up", tmp_path / "broken", *options, length(2))
  again = train("warm_up", tmp_path / "broken", *options, length(4))
  for line in (*whole, *again):
    line.pop("train_seconds", None)
  assert again == whole
  assert ["clip_fraction" in line for line in whole] == [0, 0, 0, 1, 1]


@pytest.mark.slow
def test_pairs_of_steps_are_learned_from(tmp_path):
  """From trees, with a reference, and problems that were chosen."""
  *_, last = train(
    "step_dpo", tmp_path, "--config.train.oversample=2",
    "--config.train.num_iterations=6",
    "--config.learner.least_gap=0.01", "--config.learner.least_visits=1",
  )  # fmt: skip
  assert last["policy_loss"] > 0 and last["kl"] > 0
