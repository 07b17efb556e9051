"""Tests of the training program: what it writes, and what it survives."""

import json
import random
import shutil
import signal

import checkpoints
import jax
import numpy as np
import programs
import pytest
import tiny_config

from alphallm import checkpoint, config, metrics, program, sharding
from alphallm import trainer as trainer_lib
from configs import smollm2_arithmetic

CONFIG = f"--config={programs.CONFIG}"
PRETRAINED = (
  f"--config={programs.ROOT / 'configs' / 'smollm2_arithmetic.py'}:tiny"
)
LENGTH = "--config.train.num_iterations=12"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The workdir of a run of 12 iterations that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("runs") / "finished"
  ended = programs.run("train", CONFIG, LENGTH, f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  return workdir


@pytest.fixture
def copy(finished, tmp_path):
  """A copy of that workdir, to be changed."""
  return shutil.copytree(finished, tmp_path / "copy")


def last_step(workdir):
  with checkpoint.Checkpointer(
    workdir / "checkpoints", read_only=True
  ) as checkpointer:
    return checkpointer.latest_step()


def last_state(workdir, settings=None):
  """Return the iteration and all of the state in the last checkpoint."""
  run = config.make_run(settings or tiny_config.get_config())
  trainer = trainer_lib.Trainer(
    run, sharding.make_mesh(devices=jax.devices()[:1])
  )
  with checkpoint.Checkpointer(
    workdir / "checkpoints", read_only=True
  ) as checkpointer:
    restored = checkpointer.restore(trainer.abstract())
  plain = jax.tree.map(
    lambda x: np.asarray(
      jax.random.key_data(x)
      if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
      else x
    ),
    restored.state,
  )
  return restored.step, plain


def assert_same_run(workdir, finished, last=last_state):
  """Check that two runs ended in the same state and measured the same."""
  (step, state), (wanted_step, wanted) = map(last, (workdir, finished))
  assert step == wanted_step
  jax.tree.map(np.testing.assert_array_equal, state, wanted)
  lines, wanted = map(metrics.read_metrics, (workdir, finished))
  for line in (*lines, *wanted):
    line.pop("train_seconds", None)
  assert lines == wanted


def test_what_a_run_writes(finished):
  summary = json.loads((finished / "summary.json").read_text())
  assert {"greedy", "mcts_3"} <= summary.keys()
  assert summary["iterations"] == 12
  for name in ("train_seconds", "compile_seconds", "nodes_per_second"):
    assert summary[name] > 0, name
  lines = metrics.read_metrics(finished)
  assert [line["step"] for line in lines] == list(range(13))
  measured = [line["step"] for line in lines if "test/greedy" in line]
  assert measured == [0, 3, 6, 9, 12]
  assert lines[-1]["train_steps"] == summary["train_steps"] > 0
  assert (
    json.loads((finished / "config.json").read_text())["config"]["seed"] == 0
  )
  assert (finished / "tokenizer.model").exists()
  assert list(finished.glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_a_stopped_pretrained_run_goes_on_the_same_without_its_model(tmp_path):
  path = checkpoints.write_folder(tmp_path / "model")
  args = PRETRAINED, f"--config.model.pretrained={path}"
  greedy = "--methods=greedy", "--num_problems=4"
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  ended = programs.run("evaluate", *args, f"--workdir={whole}", *greedy)
  assert "| greedy | nothing | 0.0% |" in ended.out, ended
  for workdir, length in ((whole, 4), (broken, 2)):
    length = f"--config.train.num_iterations={length}"
    ended = programs.run("train", *args, length, f"--workdir={workdir}")
    assert ended.code == 0, ended
  gone = path.rename(tmp_path / "gone")
  workdir = f"--workdir={broken}"
  ended = programs.run("train", *args, workdir)
  assert ended.code == 0 and "resumed" in ended.out, ended
  lines = metrics.read_metrics(broken)
  assert len(lines) == 5 and lines[-1]["kl"] > 0
  ended = programs.run("evaluate", *args, workdir, *greedy)
  assert "| pretrained | trained |" in ended.out, ended
  ended = programs.run("evaluate", *args, workdir, "--nobefore", *greedy)
  assert "| may ask | solved |" in ended.out, ended
  ended = programs.run("train", *args, f"--workdir={tmp_path / 'new'}")
  programs.assert_refused(ended, "config.model.pretrained: ", str(path))
  gone.rename(path)
  settings = smollm2_arithmetic.get_config("tiny")
  settings.model.pretrained = str(path)
  states = [last_state(workdir, settings) for workdir in (whole, broken)]
  jax.tree.map(np.testing.assert_array_equal, *states)


def test_a_finished_run_says_so_and_keeps_its_figures(copy):
  before = json.loads((copy / "summary.json").read_text())
  ended = programs.run("train", CONFIG, LENGTH, f"--workdir={copy}")
  after = json.loads((copy / "summary.json").read_text())
  assert ended.code == 0 and "nothing to do" in ended.out
  figures = before["programs"]["train"]["figures"]
  assert after["programs"]["train"]["figures"] == figures


def test_killed_stopped_and_damaged_it_is_the_same_run(finished, tmp_path):
  args = ("train", CONFIG, LENGTH, f"--workdir={tmp_path}")
  running = programs.Running(*args)
  # Step 5 is written after the save of 4 began, which waited for that of 2.
  running.wait_for_lines(tmp_path / "metrics.jsonl", 6)
  running.process.kill()
  assert running.wait().code == -signal.SIGKILL

  running = programs.Running(*args)
  running.wait_for_lines(running.out, 2)  # it listens to signals now
  running.wait_for_lines(tmp_path / "metrics.jsonl", 8)
  running.process.terminate()
  ended = running.wait()
  assert ended.code == 128 + signal.SIGTERM, ended
  assert "resumed" in ended.out and "Traceback" not in ended.err
  assert ended.err.count("the same command goes on") == 1
  stopped = last_step(tmp_path)
  assert f"saved at iteration {stopped} of 12" in ended.err

  damage(tmp_path / "checkpoints" / str(stopped))
  ended = programs.run(*args)
  assert ended.code == 0, ended.err
  assert f"the checkpoint of step {stopped} is damaged" in ended.err
  assert_same_run(tmp_path, finished)


@pytest.mark.slow
def test_killed_three_times_at_random(finished, tmp_path):
  rng = random.Random(0)
  args = ("train", CONFIG, LENGTH, f"--workdir={tmp_path}")
  for count in sorted(rng.sample(range(13), 3)):
    running = programs.Running(*args)
    running.wait_for_lines(tmp_path / "metrics.jsonl", count)
    running.process.join(rng.uniform(0, 0.3))
    running.process.kill()
    running.wait()
  ended = programs.run(*args)
  assert ended.code == 0, ended.err
  assert_same_run(tmp_path, finished)


def poison(module):
  """Make the parameters NaN in iteration 5."""
  trainer = module.trainer_lib.Trainer
  iterate = trainer.iterate

  def poisoned(self, state, iteration, levels):
    if iteration == 4:
      with jax.transfer_guard("allow"):
        spoil = lambda x: x * np.float32(np.nan)
        state = state.replace(
          learner=state.learner.replace(
            params=jax.tree.map(spoil, state.learner.params)
          )
        )
    return iterate(self, state, iteration, levels)

  trainer.iterate = poisoned


def test_a_nan_stops_the_run_and_is_not_saved(tmp_path):
  args = ("train", CONFIG, f"--workdir={tmp_path}")
  ended = programs.run(*args, before=poison)
  assert ended.code == 1 and "Traceback" not in ended.err
  message = ended.err.strip().splitlines()[-1]
  assert "nan at iteration 5, step " in message
  assert "checkpoint 4 is kept" in message
  step, state = last_state(tmp_path)
  assert step == 4
  for leaf in jax.tree.leaves(state.learner):
    assert np.isfinite(leaf).all()


def test_a_full_disk_keeps_the_checkpoint_before(copy):
  args = CONFIG, "--config.train.num_iterations=13", f"--workdir={copy}"
  ended = programs.run("train", *args, max_file_bytes=24_000)
  assert ended.code == 1 and "Traceback" not in ended.err
  message = ended.err.strip().splitlines()[-1]
  assert message.startswith("alphallm: the checkpoint of step 13 could not")
  assert "that of step 12 is kept" in message
  assert last_step(copy) == 12
  assert programs.run("train", *args).code == 0
  assert last_step(copy) == 13
  assert metrics.read_metrics(copy)[-1]["step"] == 13


def test_no_whole_checkpoint_is_refused(copy):
  for path in (copy / "checkpoints").iterdir():
    damage(path)
  ended = programs.run("train", CONFIG, LENGTH, f"--workdir={copy}")
  assert ended.code == 1 and "Traceback" not in ended.err
  assert "is damaged" in ended.err.strip().splitlines()[-1]


def damage(folder):
  """Cut the largest file of a checkpoint short."""
  file = max(
    (p for p in folder.rglob("*") if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  file.write_bytes(file.read_bytes()[:-100])


def test_another_config_is_refused(copy):
  args = CONFIG, "--config.seed=1", f"--workdir={copy}"
  ended = programs.run("train", *args)
  programs.assert_refused(ended, "another config", str(copy))


def test_a_config_is_refused_only_where_there_are_checkpoints(copy, tmp_path):
  # A run that ended before its first checkpoint stands in nobody's way.
  args = CONFIG, "--config.selfplay.num_slots=0", f"--workdir={tmp_path / 'w'}"
  programs.assert_refused(programs.run("train", *args), "num_slots=0")
  assert not (tmp_path / "w").exists()
  shutil.rmtree(copy / "checkpoints")
  program.refuse_another_run(copy, tiny_config.get_config())


def test_a_damaged_note_of_the_config_is_refused(copy):
  (copy / "config.json").write_text('{"fing')
  ended = programs.run("train", CONFIG, LENGTH, f"--workdir={copy}")
  programs.assert_refused(ended, "config.json is damaged; delete it")


def test_a_workdir_that_cannot_be_made_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  for path in (tmp_path / "file", tmp_path / "file" / "w", "/proc/nowhere"):
    ended = programs.run("train", CONFIG, f"--workdir={path}")
    programs.assert_refused(ended, f"--workdir={path} cannot be written")


def test_slots_that_the_devices_do_not_divide_are_refused():
  run = config.make_run(tiny_config.get_config())
  three = jax.sharding.AbstractMesh((3, 1, 1), ("data", "fsdp", "tensor"))
  with pytest.raises(config.UserError, match="num_slots=16 is no multiple of"):
    trainer_lib.Trainer(run, three)


def test_signals_are_given_back():
  before = signal.getsignal(signal.SIGTERM)
  with program.Stop() as stop:
    signal.raise_signal(signal.SIGTERM)
    assert stop.wanted == signal.SIGTERM
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
  assert signal.getsignal(signal.SIGTERM) is before


def test_worked_answers_are_in_the_buffer_from_the_start():
  settings = tiny_config.get_config()
  settings.task = dict(kind="Sums")
  settings.learner.update(augment=False, worked=12)
  settings.search.rules_propose = False
  trainer = trainer_lib.Trainer(
    config.make_run(settings), sharding.make_mesh(devices=jax.devices()[:1])
  )
  state = trainer.init()
  assert state.replay.added == 12
  assert state.credit == 12 * 16 / 8
  assert np.all(state.replay.examples.weights[:12, 0, 0] == 1)
  assert np.all(state.replay.examples.values[:12, 0] == 1)
  places = jax.tree.map(lambda x: x.sharding, state)
  assert places == jax.tree.map(lambda x: x.sharding, trainer.abstract())


def test_no_key_is_used_twice():
  run = config.make_run(tiny_config.get_config())
  trainer = trainer_lib.Trainer(
    run, sharding.make_mesh(devices=jax.devices()[:1])
  )
  drawn = [jax.random.fold_in(trainer._learn_key, i) for i in range(4)]
  drawn += list(jax.random.split(trainer._init_key))
  assert len({jax.random.key_data(key).tobytes() for key in drawn}) == 6


def test_problems_are_those_of_their_iteration():
  run = config.make_run(tiny_config.get_config())
  trainer = trainer_lib.Trainer(
    run, sharding.make_mesh(devices=jax.devices()[:1])
  )
  first, again, other = (
    trainer.actors.problems.of_round(i, None) for i in (3, 3, 4)
  )
  assert first.on.shape == (16, 2, 3)
  np.testing.assert_array_equal(first.goal, again.goal)
  assert (np.asarray(first.goal) != np.asarray(other.goal)).any()


@pytest.mark.slow
def test_a_killed_curriculum_goes_on_at_its_level(tmp_path):
  options = (
    CONFIG,
    LENGTH,
    "--config.task.max_blocks=5",
    "--config.learner.capacity=512",
    "--config.train.first_level=3",
    "--config.train.level_up=0.1",
  )
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  ended = programs.run("train", *options, f"--workdir={whole}")
  assert ended.code == 0, ended.err
  running = programs.Running("train", *options, f"--workdir={broken}")
  running.wait_for_lines(broken / "metrics.jsonl", 8)
  running.process.kill()
  running.wait()
  ended = programs.run("train", *options, f"--workdir={broken}")
  assert ended.code == 0 and "resumed" in ended.out, ended
  lines, wanted = map(metrics.read_metrics, (broken, whole))
  for line in (*lines, *wanted):
    line.pop("train_seconds", None)
  assert lines == wanted
  levels = [line["level"] for line in wanted[1:]]
  assert levels[0] == 3 and levels == sorted(levels) and levels[-1] > 3
