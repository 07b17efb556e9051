"""Tests of the grid of scaling: its cells, its page, and going on with it."""

import dataclasses
import json

import programs
import pytest
import scaling_laws_test

from alphallm import plots, report, scaling, scaling_laws, values
from configs import scaling as grids


def cell(**changes):
  (first, *_) = scaling_laws_test.cells(problems=100)
  return dataclasses.replace(first, **changes)


def test_grids_are_as_large_as_they_say():
  for name, wanted in ("small", 180), ("gpu", 270), ("hour", 144), ("ci", 16):
    grid, cells = grids.get_config(name).grid, 1
    for axis in "embed_dims", "simulations", "iterations", "budgets":
      cells *= len(grid[axis])
    assert cells == wanted
  with pytest.raises(ValueError, match="'huge' is none of ci"):
    grids.get_config("huge")


def test_a_grid_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
  calls = []

  def measured(config, workdir, budgets, num_problems):
    place = workdir.name, config.train.num_iterations
    calls.append(place)
    if len(calls) == 4:
      raise KeyboardInterrupt
    size = config.model.embed_dim
    return [cell(parameters=size, budget=budget) for budget in budgets]

  monkeypatch.setattr(scaling, "measured", measured)
  config = grids.get_config("ci")
  with pytest.raises(KeyboardInterrupt):
    list(scaling.grown(config, tmp_path))
  first, *_, cells = scaling.grown(config, tmp_path)
  assert len(first) == 6 and first == cells[:6]
  assert len(cells) == 16 and len(calls) == 9 and calls[3] == calls[4]
  assert calls[:3] == [("16_1", 1), ("16_1", 2), ("16_2", 1)]
  assert list(scaling.grown(config, tmp_path)) == [cells] and len(calls) == 9
  config.grid.num_problems = 9
  with pytest.raises(values.UserError, match="is of another grid"):
    next(scaling.grown(config, tmp_path))


def test_the_page(tmp_path):
  cells = scaling_laws_test.cells(problems=100)
  laws = [scaling_laws.fit("budget", cells, num_draws=20)]
  path = plots.law(laws[0], "search", tmp_path / "law.png")
  best = plots.frontier(
    [(1.0, 0.5), (9.0, 0.6)], [(1.0, 0.5)], tmp_path / "best.png"
  )
  for picture in path, best:
    assert picture.read_bytes().startswith(b"\x89PNG")
  parts = scaling.sections(cells, laws, 10, {"budget": "law.png"})
  assert parts[0].rows[0][:3] == ("the test's search", "test", "2")
  assert float(parts[0].rows[0][3]) == pytest.approx(0.3, abs=0.01)
  assert len(parts[-1].rows) == len(cells)
  assert all(len(row) == len(parts[-1].header) for row in parts[-1].rows)
  assert "law.png" in report.html("t", parts)


@pytest.mark.slow
def test_the_program(tmp_path):
  ended = programs.Running(
    "scaling", "--grid=ci", f"--workdir={tmp_path}"
  ).wait(seconds=1_200)
  assert ended.code == 0, ended.err
  assert "page of 16 cells" in ended.out
  summary = json.loads((tmp_path / "summary.json").read_text())
  assert summary["cells"] == 16
  low, high = summary["exponent_budget_interval"]
  assert low <= high
  cells = json.loads((tmp_path / "cells.json").read_text())["cells"]
  assert all(c["training"] > 0 and c["test"] > 0 for c in cells)
  assert len({c["training"] for c in cells}) == 8
