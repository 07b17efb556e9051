"""Tests of trainings in several processes, eight devices in all."""

import json
import random
import shutil
import signal
import time

import jax
import numpy as np
import pods
import programs
import pytest
import saved_runs
import tiny_config
import train_test

from alphallm import hosts, metrics, models

pytestmark = pytest.mark.slow
TOTAL = 5  # iterations: one to have enough examples, then five steps each


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The workdir of a training by two processes of four devices."""
  workdir = tmp_path_factory.mktemp("pods") / "whole"
  first, second = pods.train(workdir, 2, 4, pods.LENGTH(TOTAL))
  assert "8 cpu device(s)" in first.out
  assert "training" not in second.out + second.err
  return workdir


def last_state(workdir, **selfplay):
  settings = tiny_config.get_config()
  settings.selfplay.update(selfplay)
  settings.search.num_simulations = 0
  settings.search.permission = "rules"
  settings.learner.learn_from = "solved"
  return train_test.last_state(workdir, settings)


def assert_near(workdir, other, atol=1e-6, **selfplay):
  """Check that two trainings came to the same parameters."""
  (step, state), (other_step, wanted) = (
    last_state(one, **selfplay) for one in (workdir, other)
  )
  assert step == other_step and state.learner.step == wanted.learner.step
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=atol),
    state.learner,
    wanted.learner,
  )


def test_two_processes_train_as_one(whole, tmp_path):
  pods.train(tmp_path / "one", 1, 8, pods.LENGTH(TOTAL))
  assert last_state(whole)[1].learner.step == 20
  assert_near(tmp_path / "one", whole)


def test_actors_of_two_processes_play_as_those_of_one(tmp_path):
  options = "--config.mesh.actors=4", "--config.selfplay.ahead=1"
  for processes, devices in ((2, 4), (1, 8)):
    workdir = tmp_path / f"{processes}"
    first, *_ = pods.train(
      workdir, processes, devices, pods.LENGTH(TOTAL), *options
    )
    assert "8 cpu device(s), 4 of which play" in first.out
    lines = metrics.read_metrics(workdir)[1:]
    assert [line["staleness"] for line in lines] == [0, 1, 1, 1, 1]
  assert_near(tmp_path / "1", tmp_path / "2", ahead=1)


def test_a_signal_to_one_process_stops_all_at_one_iteration(whole, tmp_path):
  workdir = tmp_path / "w"
  running = pods.start(workdir, 2, 4, pods.LENGTH(TOTAL))
  running[0].wait_for_lines(workdir / "metrics.jsonl", 2)
  running[1].process.terminate()
  for one in running:
    ended = one.wait(900)
    assert ended.code == 128 + signal.SIGTERM, ended
    assert "stopped by a signal, saved at iteration" in ended.err
  pods.train(workdir, 2, 4, pods.LENGTH(TOTAL))
  train_test.assert_same_run(workdir, whole, last_state)


@pytest.mark.parametrize("victim", range(2))
def test_a_lost_process_ends_the_other(whole, tmp_path, victim):
  workdir = tmp_path / "w"
  running = pods.start(workdir, 2, 4, pods.LENGTH(TOTAL))
  running[0].wait_for_lines(workdir / "metrics.jsonl", 3)
  time.sleep(random.Random(victim).uniform(0, 1))
  running[victim].process.kill()
  began = time.monotonic()
  ended = running[1 - victim].wait()
  assert time.monotonic() - began < 2 * hosts.HEARTBEAT_SECONDS
  assert ended.code != 0
  pods.wait_for_words(running[1 - victim], hosts.GO_ON)
  pods.train(workdir, 2, 4, pods.LENGTH(TOTAL))
  train_test.assert_same_run(workdir, whole, last_state)


def test_a_run_goes_on_with_other_processes(whole, tmp_path):
  for processes, devices in ((1, 8), (1, 1), (4, 2)):
    workdir = tmp_path / f"{processes}x{devices}"
    shutil.copytree(whole, workdir)
    ended = pods.train(workdir, processes, devices, pods.LENGTH(TOTAL + 1))
    assert f"resumed {workdir} at iteration {TOTAL}" in ended[0].out
    assert_near(workdir, tmp_path / "1x8")


def test_split_parameters_are_learned_as_whole_ones(whole, tmp_path):
  mesh = [f"--config.mesh.{x}" for x in ("fsdp=2", "tensor=2", "min_size=0")]
  pods.train(tmp_path / "split", 2, 4, pods.LENGTH(TOTAL), *mesh)
  assert_near(tmp_path / "split", whole, atol=1e-5)


FINETUNE = (
  f"--config={programs.ROOT / 'configs' / 'countdown_traces.py'}:ci",
  "--config.task.max_tokens=96",
  "--config.tuning.batch_size=8",
  "--config.tuning.streams=4",
  "--config.train.validation_batches=1",
)


def tuned(workdir, processes, devices, steps):
  """Return the figures of a supervised run, and the parameters it came to."""
  length = f"--config.train.num_steps={steps}"
  ended = pods.ends(
    pods.start_any(
      "finetune",
      workdir,
      processes,
      devices,
      *FINETUNE,
      length,
      before=pods.untried,
    )
  )
  assert all("greedy" not in one.out for one in ended[1:])
  summary = json.loads((workdir / "summary.json").read_text())
  return summary, models.load(workdir / "model")[1]


def test_two_processes_learn_from_documents_as_one(tmp_path):
  (figures, params), (wanted, others) = (
    tuned(tmp_path / f"{processes}", processes, devices, 4)
    for processes, devices in ((2, 4), (1, 8))
  )
  near = lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6)
  jax.tree.map(near, params, others)
  near(figures["validation_loss"], wanted["validation_loss"])
  # On from the same documents with other processes.
  (_, params), (_, others) = (
    tuned(tmp_path / name, processes, devices, 6)
    for name, processes, devices in (("1", 2, 4), ("2", 1, 8))
  )
  jax.tree.map(near, params, others)


def test_two_processes_measure_split_parameters_as_one_does_whole(tmp_path):
  found = []
  split = "gather=layer", "fsdp=2", "tensor=2", "min_size=0"
  split = [f"--config.mesh.{option}" for option in split]
  for processes, devices, options in ((2, 4, split), (1, 8, [])):
    workdir = tmp_path / f"{processes}"
    workdir.mkdir()
    saved_runs.policy(workdir, tiny_config.get_config())
    running = pods.start_any(
      "evaluate",
      workdir,
      processes,
      devices,
      f"--config={programs.CONFIG}",
      "--methods=greedy,sampled",
      "--num_problems=20",
      "--nobefore",
      *options,
    )
    first, *others = pods.ends(running)
    assert "| greedy | nothing |" in first.out
    assert all("greedy" not in one.out for one in others)
    books = sorted((workdir / "evaluation").glob("*/*.npz"))
    found.append({b.relative_to(workdir): dict(np.load(b)) for b in books})
  assert len(found[0]) == 2 and found[0].keys() == found[1].keys()
  for book, wanted in found[1].items():
    for name in wanted.keys() - {"seconds", "warm"}:
      np.testing.assert_allclose(
        found[0][book][name], wanted[name], rtol=0, atol=1e-6
      )
