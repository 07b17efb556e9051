"""Tests of the choice of methods by difficulty."""

import dataclasses
import json

import numpy as np
import pytest

from alphallm import compute_optimal, tables, values

N = 80


def row(name, solved, *, budget=1, tokens=10, asks="rules", ease=None):
  return tables.Row(
    name=name,
    asks=asks,
    solved=np.asarray(solved, bool),
    tokens=np.full(N, tokens),
    seconds=1.0,
    steps=2.0,
    budget=budget,
    ease=ease,
  )


@pytest.fixture
def rows():
  """The hard half is solved by beams alone, the easy one by votes alone."""
  rng = np.random.default_rng(0)
  is_easy = rng.random(N) < 0.5
  ease = np.where(is_easy, 0.9, 0.1).astype(np.float32)
  noise = rng.random((4, N))
  return [
    row("greedy", noise[0] < 0.2, tokens=5, asks="nothing"),
    row("best_of_n_4", noise[1] < 0.3, budget=4, tokens=40, ease=ease),
    row("vote_4", is_easy, budget=4, tokens=45),
    row("beam_4", ~is_easy, budget=4, tokens=50),
    row("beam_8", noise[2] < 2, budget=8, tokens=90),
    row("mcts_4", noise[3] < 2, budget=4, tokens=40, asks="checker"),
  ]


def test_the_best_of_each_bin_is_chosen(rows):
  table = compute_optimal.make(rows, num_bins=2)
  assert table.num_samples == 4 and table.asks == "rules"
  assert len(table.edges) == 1 and 0.1 <= table.edges[0] < 0.9
  assert sum(table.counts) == N
  (level,) = table.levels
  # Not of twice the tokens, and not of what may ask the checker.
  assert level.methods == ("beam_4", "vote_4") and level.shares == (1.0, 1.0)
  assert level.crossed.all()
  assert level.single_crossed.mean() < 0.8
  words = compute_optimal.as_markdown(table)
  assert "| beam_4 100% | vote_4 100% | 100.0% |" in words
  assert {line.count("|") for line in words.splitlines()} == {8}


def test_a_choice_of_noise_brings_nothing(rows):
  """What is chosen on one half is measured on the other."""
  rng = np.random.default_rng(1)
  many = [
    dataclasses.replace(rows[1], name=f"beam_{i}", solved=rng.random(N) < 0.5)
    for i in range(60)
  ]
  many.append(dataclasses.replace(rows[1], ease=rng.random(N)))
  (level,) = compute_optimal.make(many).levels
  assert max(level.shares) > 0.8
  assert 0.35 < level.crossed.mean() < 0.65


def test_without_samples_there_is_no_table(rows):
  assert compute_optimal.make(rows[2:]) is None
  assert compute_optimal.make(rows[1:2]) is None


def test_equally_easy_problems_share_a_bin(rows):
  flat = dataclasses.replace(rows[1], ease=np.zeros(N))
  table = compute_optimal.make([rows[0], flat])
  assert table.edges == () and table.counts == (N,)


def test_what_is_written_is_read(rows, tmp_path):
  figures = compute_optimal.as_figures(compute_optimal.make(rows), "here")
  path = tmp_path / compute_optimal.FILE
  path.write_text(json.dumps(figures))
  assert compute_optimal.read(tmp_path) == figures
  for text in ("{", "{}", "[]", json.dumps(figures | {"edges": [1, 2, 3]})):
    path.write_text(text)
    with pytest.raises(values.UserError, match="json is damaged"):
      compute_optimal.read(tmp_path)
  path.unlink()
  with pytest.raises(values.UserError, match="auto needs .*--methods all"):
    compute_optimal.read(tmp_path)
