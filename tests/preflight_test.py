"""Tests of the program that foresees a run."""

import json

import programs
import pytest

TINY = f"--config={programs.ROOT / 'configs' / 'gsm8k_qwen2.5.py'}:tiny"
SHAPE = dict(
  model_type="llama",
  hidden_act="silu",
  hidden_size=64,
  num_attention_heads=4,
  num_hidden_layers=8,
  intermediate_size=128,
  vocab_size=512,
)


def preflight(*args, config=f"--config={programs.CONFIG}"):
  # Compilers take their time.
  return programs.Running("preflight", config, *args).wait(900)


def test_a_program_is_foreseen_and_run_here(tmp_path):
  ended = preflight("--programs=greedy", f"--workdir={tmp_path}")
  assert ended.code == 0, ended
  assert "state of the run: " in ended.out and "learn: " not in ended.out
  summary = json.loads((tmp_path / "summary.json").read_text())
  figures = summary["preflight"]["greedy"]
  assert figures["fits"] and figures["flops"] > 0
  assert figures["needed"] == sum(figures["memory"].values())
  assert figures["collectives"] == {}
  assert ["play.solve", 6, "assumed"] in figures["loops"]
  for found in figures["expected"], figures["measured"]:
    assert found["nodes_per_second_per_chip"] > 0
  assert summary["parameters"] > 1000


@pytest.mark.slow
def test_every_program_is_run_here(tmp_path):
  ended = preflight(f"--workdir={tmp_path}")
  assert ended.code == 0, ended
  summary = json.loads((tmp_path / "summary.json").read_text())
  assert list(summary["preflight"]) == ["self_play", "learn", "greedy", "mcts"]
  for figures in summary["preflight"].values():
    assert figures["measured"]["tokens_per_second_per_chip"] > 0


@pytest.mark.slow
def test_a_model_by_its_shape_on_a_pod(tmp_path):
  pytest.importorskip("libtpu")
  shape = tmp_path / "config.json"
  shape.write_text(json.dumps(SHAPE))
  ended = preflight(
    "--topology=v5e-4",
    f"--shape={shape}",
    "--layers=1,2",
    "--programs=self_play",
    "--config.learner.batch_size=4",
    f"--workdir={tmp_path}",
    config=TINY,
  )
  assert ended.code == 0, ended
  summary = json.loads((tmp_path / "summary.json").read_text())
  figures = summary["preflight"]["self_play"]
  assert summary["devices"] == 4 and summary["layers_compiled"] == [1, 2]
  assert figures["fits"] and not figures["collectives"]
  assert "measured" not in figures


def test_what_cannot_fit_is_not_compiled(tmp_path):
  shape = tmp_path / "config.json"
  shape.write_text(json.dumps(SHAPE | {"hidden_size": 2**20}))
  ended = preflight(f"--shape={shape}", config=TINY)
  assert ended.code == 0, ended
  assert ended.out.count("does not fit: ") == 4
  assert "GiB at least: state " in ended.out


def test_what_is_refused():
  for flag, words in (
    ("--programs=cat", "--programs: cat is none of self_play"),
    ("--layers=1,2", "--layers=1,2: give two depths"),
  ):
    programs.assert_refused(preflight(flag), words)
