"""Tests of metrics: every step once, through a kill and a resume."""

import dataclasses
import io
import json
import struct

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from alphallm import metrics


def read_events(workdir):
  """Return `(steps where a run (re)starts, {step: {name: value}})`."""
  starts, scalars = [], {}
  for path in sorted(workdir.glob("events.out.tfevents.*")):
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[12 + length + 4 :]
      if event.HasField("session_log"):
        starts.append(event.step)
      for value in event.summary.value:
        row = scalars.setdefault(event.step, {})
        row[value.tag] = value.simple_value
  return starts, scalars


def test_writes_events_and_lines(tmp_path):
  with metrics.MetricWriter(tmp_path) as writer:
    scalars = {"loss": 1.5, "greedy": jnp.float32(0.25)}
    with jax.transfer_guard("disallow"):
      writer.write(0, scalars)
    writer.write(3, {"loss": np.float32(0.5), "bad": float("nan")})
    with pytest.raises(ValueError, match="step 3 comes after step 3"):
      writer.write(3, {"loss": 0.0})
  assert metrics.read_metrics(tmp_path) == [
    {"step": 0, "loss": 1.5, "greedy": 0.25},
    {"step": 3, "loss": 0.5, "bad": None},
  ]
  _, scalars = read_events(tmp_path)
  assert scalars[0] == {"loss": 1.5, "greedy": 0.25}
  assert scalars[3]["loss"] == 0.5


def test_no_step_twice_after_a_resume(tmp_path):
  with metrics.MetricWriter(tmp_path) as writer:
    for step in range(5):
      writer.write(step, {"loss": 0.0})
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 5, "lo')  # killed while writing
  with metrics.MetricWriter(tmp_path, restored_step=2) as writer:
    for step in range(3, 6):
      writer.write(step, {"loss": 1.0})
  lines = metrics.read_metrics(tmp_path)
  assert [line["step"] for line in lines] == list(range(6))
  assert [line["loss"] for line in lines] == [0, 0, 0, 1, 1, 1]
  assert 3 in read_events(tmp_path)[0]  # TensorBoard drops 3 and after


def test_a_run_from_the_start_drops_all(tmp_path):
  for _ in range(2):
    with metrics.MetricWriter(tmp_path) as writer:
      writer.write(0, {"loss": 0.0})
  assert len(metrics.read_metrics(tmp_path)) == 1


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_progress_on_a_terminal_is_one_line():
  stream, now = Terminal(), [0.0]
  with metrics.Progress(
    10, "train", stream=stream, clock=lambda: now[0]
  ) as progress:
    now[0] = 50.0  # compiling
    for done in range(1, 11):
      progress.update(done, "loss 0.5")
      now[0] += 10.0
  lines = stream.getvalue().split("\r")
  assert stream.getvalue().count("\n") == 1
  assert (
    lines[2].strip() == "train: 2/10, 1 min 00 s, 1 min 20 s left, loss 0.5"
  )
  assert lines[-1].strip() == "train: 10/10, 2 min 20 s, loss 0.5"


def test_progress_elsewhere_is_sparse():
  stream, now = io.StringIO(), [0.0]
  with metrics.Progress(
    100, "train", stream=stream, clock=lambda: now[0]
  ) as progress:
    for done in range(1, 101):
      now[0] += 1.0
      progress.update(done)
  lines = stream.getvalue().splitlines()
  assert len(lines) == 5
  assert lines[0] == "train: 20/100, 20 s, 1 min 20 s left"
  assert lines[-1] == "train: 100/100, 1 min 40 s"


@dataclasses.dataclass(frozen=True)
class Config:
  learning_rate: float = 0.1
  shape: tuple = (1, 2)


def test_summary(tmp_path):
  figures = {
    "greedy": np.float32(0.5),
    "lost": float("inf"),
    "n": jnp.arange(2),
  }
  config = ml_collections.ConfigDict({"model": {"layers": 2}})
  path = metrics.write_summary(
    tmp_path, figures, program="evaluate", config=config, seeds=[0, 1]
  )
  summary = json.loads(path.read_text())
  assert summary["greedy"] == 0.5
  assert summary["lost"] is None
  assert summary["n"] == [0, 1]
  assert summary["config"] == {"model": {"layers": 2}}
  assert summary["seeds"] == [0, 1]
  assert summary["versions"]["jax"] == jax.__version__
  assert summary["device"]["count"] == jax.device_count()
  assert summary["command"]
  assert "commit" in summary


def test_summaries_of_two_programs_stand_side_by_side(tmp_path):
  write = metrics.write_summary
  write(tmp_path, {"train_seconds": 1.0, "old": 0}, program="train")
  write(tmp_path, {"mcts_16": 0.75}, program="evaluate", config=Config())
  path = write(tmp_path, {"train_seconds": 2.0}, program="train")
  summary = json.loads(path.read_text())
  assert summary["mcts_16"] == 0.75 and summary["train_seconds"] == 2.0
  assert "old" not in summary
  assert summary["program"] == "train"
  assert summary["programs"]["evaluate"]["config"] == {
    "learning_rate": 0.1,
    "shape": [1, 2],
  }
  with pytest.raises(ValueError, match="cannot be named config"):
    write(tmp_path, {"config": 1}, program="train")
