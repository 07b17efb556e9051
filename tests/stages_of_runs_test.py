"""Stages of a run, their checkpoints and resuming, with nothing to compile."""

import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import metrics, program, train
from configs.learners import warm_up


@chex.dataclass(frozen=True)
class Learned:
  step: chex.Array
  params: chex.Array
  average: chex.Array


@chex.dataclass(frozen=True)
class State:
  """Has another shape in every stage, as buffers have."""

  learner: Learned
  buffer: chex.Array


class FakeTrainer:
  """Writes down its learner's name in numbers; counts iterations."""

  def __init__(self, run, mesh, actors_mesh):
    del actors_mesh
    self.run, self.mesh, self.pretrained = run, mesh, None
    kind = type(run.objective).__name__
    self.number = {"Cloning": 1.0, "PPO": 2.0}[kind]
    self.room = 3 + (kind == "PPO") + (run.search.rules_propose)

  def abstract(self):
    return jax.eval_shape(self.init)

  def init(self, levels=None, *, params=None, iteration=0):
    del levels, iteration
    params = jnp.zeros(()) if params is None else params
    learned = Learned(step=jnp.int32(0), params=params, average=params)
    return State(learner=learned, buffer=jnp.zeros(self.room))

  def iterate(self, state, iteration, levels):
    del iteration, levels
    with jax.transfer_guard("allow"):
      step = state.learner.step + 1
      params = 3 * state.learner.params + self.number
      buffer = state.buffer + 1
    learned = Learned(step=step, params=params, average=params)
    scalars = {"params": params, "train_steps": step, "nodes": step}
    return State(learner=learned, buffer=buffer), scalars


class FakeMeasurement:
  """The more a policy was trained, the better, up to a point."""

  def __init__(self, run, mesh):
    pass

  def __call__(self, average):
    return {"greedy": min(0.1 * len(np.base_repr(int(average), 3)), 0.4)}


@pytest.fixture
def settings(monkeypatch):
  monkeypatch.setattr(train.trainer_lib, "Trainer", FakeTrainer)
  monkeypatch.setattr(train.measurement_lib, "Measurement", FakeMeasurement)
  config = warm_up.get_config("tiny")
  config.before[0].update(num_iterations=2)
  config.before[1].update(num_iterations=99, patience=2)
  config.train.update(num_iterations=9, evaluate_every=1, checkpoint_every=1)
  return config


def lines(workdir):
  found = metrics.read_metrics(workdir)
  for line in found:
    line.pop("train_seconds", None)
  return found


def test_a_stage_hands_its_policy_to_the_next(settings, tmp_path):
  train.train(settings, tmp_path)
  # Two iterations of rules. Then 0.3, 0.4 and twice no better; then PPO.
  steps = [line["train_steps"] for line in lines(tmp_path)[1:]]
  assert steps == [1, 2, 1, 2, 3, 4, 1, 2, 3]
  assert lines(tmp_path)[-1]["params"] == int("111111222", 3)


@pytest.mark.parametrize("length", [6])
def test_a_run_goes_on_in_its_stage(settings, tmp_path, length):
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  figures = train.train(settings, whole)
  settings.train.num_iterations = length
  train.train(settings, broken)
  settings.train.num_iterations = 9
  again = train.train(settings, broken)
  assert lines(broken) == lines(whole)
  assert again["train_steps"] == figures["train_steps"]
  assert again["greedy"] == figures["greedy"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_in_its_stage(settings, tmp_path, monkeypatch):
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  train.train(settings, whole)
  iterate = FakeTrainer.iterate

  def stop(self, state, iteration, levels):
    if iteration == 4:
      os.kill(os.getpid(), signal.SIGTERM)
    return iterate(self, state, iteration, levels)

  monkeypatch.setattr(FakeTrainer, "iterate", stop)
  with pytest.raises(program.Stopped):
    train.train(settings, broken)
  monkeypatch.setattr(FakeTrainer, "iterate", iterate)
  train.train(settings, broken)
  assert lines(broken) == lines(whole)
