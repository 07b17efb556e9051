"""Tests of the supervised program: what it writes, survives and refuses."""

import itertools
import json
import signal

import jax
import numpy as np
import programs
import pytest

from alphallm import metrics, models, sharding, tuning, values
from alphallm.initialization import documents, packed
from alphallm.tokenizer import folders
from configs import countdown_traces

CONFIG = f"--config={programs.ROOT / 'configs' / 'countdown_traces.py'}:ci"
SMALL = (
  "--config.task.max_tokens=96",
  "--config.train.num_eval_problems=4",
  "--config.train.validation_batches=1",
)


def run(workdir, *args, name="finetune"):
  ended = programs.run(name, CONFIG, *SMALL, *args, f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  return ended.out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """The workdir of a whole run of 12 steps."""
  workdir = tmp_path_factory.mktemp("runs") / "finished"
  run(workdir)
  return workdir


def test_what_a_run_writes(finished):
  summary = json.loads((finished / "summary.json").read_text())
  assert summary["train_steps"] == 12 and summary["tokens_per_second"] > 0
  assert 0 <= summary["waiting"] < 1
  assert {"greedy", "sampled", "validation_loss"} <= summary.keys()
  lines = metrics.read_metrics(finished)
  assert [line["step"] for line in lines] == [0, 2, 4, 6, 8, 10, 12]
  measured = [line["step"] for line in lines if "test/sampled" in line]
  assert measured == [0, 6, 12]
  losses = [
    line["test/validation_loss"] for line in lines if "test/greedy" in line
  ]
  assert losses[0] > losses[1] > losses[2]
  assert lines[-1]["filled"] > 0.7 and 0 <= lines[-1]["waiting"] < 1


def test_other_programs_can_begin_with_the_model(finished):
  model, params = models.load(finished / "model")
  assert model.config.num_layers == 1
  words = folders.load(finished / "model")
  assert words.id("<correct>") == words.encode("<correct>1")[0]
  assert words.vocab_size == model.config.vocab_size
  logits = model.apply(params, *np.zeros((2, 1, 1, 3), np.int32)).logits
  assert np.isfinite(logits).all()


def test_a_stopped_run_is_the_same_run(finished, tmp_path):
  running = programs.Running(
    "finetune", CONFIG, *SMALL, f"--workdir={tmp_path / 'w'}"
  )
  running.wait_for_lines(tmp_path / "w" / "metrics.jsonl", 3)
  running.process.terminate()
  ended = running.wait()
  assert ended.code == 128 + signal.SIGTERM and "saved at step" in ended.err
  assert "resumed at step" in run(tmp_path / "w")
  file = "model/model.safetensors"
  assert (tmp_path / "w" / file).read_bytes() == (finished / file).read_bytes()
  ours, theirs = (
    {line["step"]: line.get("test/validation_loss") for line in lines}
    for lines in map(metrics.read_metrics, (tmp_path / "w", finished))
  )
  assert {step: ours[step] for step in theirs} == theirs
  assert "nothing to do" in run(tmp_path / "w")


@pytest.mark.slow
def test_behaviours_of_a_policy(finished):
  sizes = "--num_held_out=6", "--num_samples=3"
  out = run(finished, *sizes, name="behaviours")
  assert "| samples | solved by one of them | distinct solutions |" in out
  assert "| correction |" in out and out.count("\n| ") == 2 + 3 + 6
  summary = json.loads((finished / "summary.json").read_text())
  for name in ("pass_at_3", "distinct_at_1", "correction_forbidden_solved"):
    assert summary[name] >= 0
  assert summary["solved_with_analysis"][0] == 0


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"data": {"kind": "luck"}}, "config.data.kind='luck' is none of traces"),
    ({"data": {"kind": "worked"}}, "needs a task with worked answers"),
    ({"data": {"kind": "rules"}}, "data.kind='rules': no rule proposes"),
    ({"data": {"kind": "traces", "w": 3}}, "config.data.w is unknown"),
    ({"task": {"kind": "Thoughts", "source": 3}}, "task.source=3 is no task"),
    ({"task": {"kind": "Countdown"}}, "kind='traces' needs config.task.kind="),
    ({"train": {"log_every": 5}}, "evaluate_every=6 is no multiple of log"),
    ({"mesh": {"gather": "layer"}}, "gather='layer' is of self-play"),
    ({"tuning": {"streams": 3}}, "batch_size=4 is no multiple of streams=3"),
    ({"tuning": {"accumulate": 3}}, "batch_size=4 is no multiple of accum"),
    ({"tuning": {"batch_size": 0}}, "config.tuning.batch_size=0 must be at"),
    ({"search": {}}, "config.search is unknown"),
  ],
)
def test_wrong_configs_are_refused(changes, words):
  config = countdown_traces.get_config("ci").unlock()
  for room, settings in changes.items():
    kept = {} if "kind" in settings else config.to_dict().get(room, {})
    config[room] = {**kept, **settings}
  with pytest.raises(values.UserError, match=words):
    tuning.make(config)


def test_records_are_refused_in_one_line(tmp_path):
  (tmp_path / "c.jsonl").write_text('{"text": "1+1"}\n' * 3)
  config = countdown_traces.get_config("ci").unlock()
  config.data = {"kind": "records", "path": str(tmp_path / "c.jsonl")}
  made = tuning.make(config)
  with pytest.raises(values.UserError, match="config.data: of 3 records none"):
    made.source("test")
  config.data.vocabulary = str(tmp_path / "none")
  with pytest.raises(values.UserError, match="none: No such file"):
    tuning.make(config)


def test_a_record_that_cannot_be_read_is_refused_in_one_line(tmp_path):
  """Records are read while the run learns."""
  corpus = tmp_path / "c.jsonl"
  rows = [{"prompt": "1", "response": "2"}] * 3 + [{"prompt": "1"}] * 3
  corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
  config = countdown_traces.get_config("ci")
  config.task = {"kind": "Countdown"}
  config.data = {
    "kind": "records", "path": str(corpus), "validation_every": 3,
  }  # fmt: skip
  tuner = tuning.Tuner(tuning.make(config), sharding.make_mesh())
  with pytest.raises(
    values.UserError, match='config.data: record .*"response"'
  ):
    next(tuner.batches("train"))


def test_documents_are_packed_in_streams_of_their_own():
  config = countdown_traces.get_config("ci")
  config.tuning.unlock().streams = 2
  run = tuning.make(config)
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  tuner = tuning.Tuner(run, mesh)
  found = list(itertools.islice(tuner.batches("train"), 3))
  source = run.source("train")
  for stream in range(2):
    wanted = packed.batches(
      documents.Part(source, stream, 2), batch_size=2, length=256
    )
    for (batch, places), (own, place) in zip(found, wanted, strict=False):
      rows = jax.tree.map(lambda x, i=stream: x[2 * i : 2 * i + 2], batch)
      jax.tree.map(np.testing.assert_array_equal, rows, own)
      assert places[stream] == place
  # From the places on, the rest follows.
  batch, _ = next(tuner.batches("train", found[1][1]))
  jax.tree.map(np.testing.assert_array_equal, batch, found[2][0])


def test_layers_in_a_loop_and_batches_in_parts_take_the_same_step():
  config = countdown_traces.get_config("ci").unlock()
  config.model.num_layers = 2
  made = []
  for options in {}, {"scan_layers": True, "accumulate": 2}:
    config.tuning.update(options)
    tuner = tuning.Tuner(tuning.make(config), sharding.make_mesh())
    batch, _ = next(tuner.batches("train"))
    made.append(tuner.step(tuner.init(), batch))
  (state, figures), (other, others) = made
  np.testing.assert_allclose(others["grad_norm"], figures["grad_norm"], 1e-4)
  assert others.keys() == figures.keys()
  for a, b in zip(*map(jax.tree.leaves, (state, other)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_parameters_may_be_split_over_devices():
  config = countdown_traces.get_config("ci")
  config.mesh.min_size = 0
  tuner = tuning.Tuner(tuning.make(config), sharding.make_mesh())
  batch, _ = next(tuner.batches("train"))
  _, figures = tuner.step(tuner.init(), batch)
  assert np.isfinite(figures["loss"])


@pytest.mark.slow
def test_rules_are_a_first_policy_of_self_play(tmp_path):
  rules = f"--config={programs.ROOT / 'configs' / 'countdown_rules.py'}:ci"
  ended = programs.run("finetune", rules, f"--workdir={tmp_path / 'w'}")
  assert ended.code == 0, ended.err
  ended = programs.run(
    "train",
    f"--config={programs.ROOT / 'configs' / 'countdown_finetuned.py'}:ci",
    f"--config.model.pretrained={tmp_path / 'w' / 'model'}",
    f"--workdir={tmp_path / 't'}",
  )
  assert ended.code == 0, ended.err


@pytest.mark.slow
def test_a_corpus_is_learnt_in_its_own_vocabulary(tmp_path):
  corpus = tmp_path / "c.jsonl"
  lines = [{"text": f"{i} + 2 = {i + 2}"} for i in range(200)]
  corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
  options = f"--corpus={corpus}", f"--out={tmp_path / 'v.model'}", "--size=40"
  ended = programs.run("vocabulary", *options)
  assert ended.code == 0, ended.err
  config = tmp_path / "config.py"
  config.write_text(
    "from configs import countdown_traces\n"
    "def get_config():\n"
    "  config = countdown_traces.get_config('ci').unlock()\n"
    "  config.task = dict(kind='Sums')\n"
    f"  config.data = dict(kind='records', path={str(corpus)!r},\n"
    f"    vocabulary={str(tmp_path / 'v.model')!r})\n"
    "  return config\n"
  )
  args = f"--config={config}", f"--workdir={tmp_path / 'w'}"
  ended = programs.run("finetune", *args)
  assert ended.code == 0, ended.err
  words = folders.load(tmp_path / "w" / "model")
  assert words.vocab_size < 40
