"""Tests of the roadmap: what is run, and going on with it."""

import pytest

from alphallm import phases, roadmap, values
from configs.recipes import alphazero, open_o1, openr


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


def test_recipes_that_begin_alike_share_the_supervised_phase(tmp_path):
  recipes = dict(alphazero=alphazero, openr=openr, open_o1=open_o1)
  for name, recipe in recipes.items():
    for _ in range(2):  # a second time it is there
      config = recipe.get_config("countdown,ci")
      roadmap.share_supervised(config, tmp_path, name)
  found = [(tmp_path / name / phases.FINETUNED).resolve() for name in recipes]
  assert found[0] == found[1] != found[2]
  assert all(path.parent == tmp_path / "supervised" for path in found)
  other = alphazero.get_config("countdown,ci")
  other.seed = 1
  roadmap.share_supervised(other, tmp_path, "other")
  assert (tmp_path / "other" / phases.FINETUNED).resolve() not in found
