"""Tests of the pictures."""

import sys

import pytest

from alphallm import metrics, plots


def write(workdir, lines):
  with metrics.MetricWriter(workdir) as writer:
    for step, scalars in enumerate(lines):
      writer.write(step, scalars)


def test_learning_curve(tmp_path):
  pytest.importorskip("matplotlib")
  write(
    tmp_path,
    [
      {"test/greedy": 0.0, "test/mcts_4": 0.1, "train_seconds": 0.0},
      {"loss": 1.0},
      # Resumed with another number of simulations.
      {"test/greedy": 0.5, "test/mcts_8": 0.6, "train_seconds": 9.0},
    ],
  )
  path = plots.learning_curve(tmp_path)
  assert path.read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_a_warning(tmp_path):
  pytest.importorskip("matplotlib")
  with pytest.warns(UserWarning, match="nothing was measured"):
    assert plots.learning_curve(tmp_path) is None
  write(tmp_path, [{"loss": 1.0}])
  with pytest.warns(UserWarning, match="nothing was measured"):
    assert plots.learning_curve(tmp_path) is None


def test_no_matplotlib_is_a_warning(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  with pytest.warns(UserWarning, match="pip install"):
    assert plots.learning_curve(tmp_path) is None


def test_compare(tmp_path):
  pytest.importorskip("matplotlib")
  curve = [
    {"test/greedy": 0.0, "train_seconds": 0.0},
    {"test/greedy": 0.9, "train_seconds": 9.0},
  ]
  panels = {"4": {"a": [curve, curve], "b": [curve]}, "5": {"a": [curve]}}
  path = plots.compare(panels, tmp_path / "compare.png")
  assert path.read_bytes().startswith(b"\x89PNG")


def test_learners(tmp_path):
  pytest.importorskip("matplotlib")
  point = lambda at: {"train_seconds": at, "tokens": 9 * at, "greedy": 0.1 * at}
  curves = {"a": [[point(0), point(1), point(2)], [point(0), point(3)]]}
  path = plots.learners(curves, ["greedy"], tmp_path / "learners.png")
  assert path.read_bytes().startswith(b"\x89PNG")


def test_against_tokens(tmp_path):
  pytest.importorskip("matplotlib")
  methods = {"vote": [(40.0, 0.5), (10.0, 0.25)], "greedy": [(5.0, 0.2)]}
  path = plots.against_tokens(methods, tmp_path / "tokens.png")
  assert path.read_bytes().startswith(b"\x89PNG")


def test_over_optimisation(tmp_path):
  pytest.importorskip("matplotlib")
  points = [
    {"kl": 0.0, "true": 0.0, "proxy": 0.0},
    {"kl": 1.0, "true": 0.5, "proxy": 2.0},
  ]
  panels = {"best_of_n": {"noise 1": points}, "mcts": {"noise 1": points}}
  path = plots.over_optimisation(panels, tmp_path / "over.png")
  assert path.read_bytes().startswith(b"\x89PNG")
