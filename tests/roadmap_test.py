"""Tests of the roadmap: what is run, and going on with it."""

import pytest

from alphallm import phases, roadmap, values
from configs.recipes import alphazero


def test_entries():
  found = roadmap.entries(["openr", "one_changed"], "game24", "ci")
  assert found[0] == roadmap.Entry("openr", "openr", "game24,ci", "openr")
  assert [entry.argument.split(",")[-1] for entry in found[1:]] == list(
    phases.SLOTS
  )
  assert found[-1].folder == "alphazero"  # it trains the same


def test_what_is_finished_is_not_repeated(tmp_path, monkeypatch):
  calls = []

  def measured(config, workdir, kept, num_problems):
    calls.append((workdir.name, num_problems))
    if len(calls) == 2:
      raise values.UserError("no luck")
    return {"after": "0111"}

  monkeypatch.setattr(roadmap, "measured", measured)
  config = alphazero.get_config("countdown,ci")
  one, two = roadmap.entries(["alphazero", "openr"], "countdown", "ci")
  row = roadmap.row_of(one, config, tmp_path, 16)
  with pytest.raises(values.UserError):
    roadmap.row_of(two, config, tmp_path, 16)
  assert roadmap.row_of(one, config, tmp_path, 16) == row
  roadmap.row_of(two, config, tmp_path, 16)
  config.train.num_iterations = 3  # longer, and so measured anew
  roadmap.row_of(one, config, tmp_path, 16)
  assert roadmap.kept_row(two, config, tmp_path, 16) is None
  names = ["alphazero", "openr", "openr", "alphazero"]
  assert calls == [(name, 16) for name in names]
