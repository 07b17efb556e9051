"""Tests of the verdict in words."""

import dataclasses

import numpy as np

from alphallm import tables, verdict

N = 100


def row(name, solved, *, budget=1, tokens=10, asks="rules", **more):
  """Return a method that solves the first `solved` problems of 100."""
  return tables.Row(
    name=name,
    asks=asks,
    solved=np.arange(N) < solved,
    tokens=np.full(N, tokens),
    seconds=1.0,
    steps=2.0,
    budget=budget,
    **more,
  )


def test_against_the_policy():
  greedy = row("greedy", 50, asks="nothing")
  rows = [greedy, row("vote_4", 30, budget=4), row("vote_8", 52, budget=8)]
  rows += [row("mcts_4", 80, budget=4, asks="checker", tokens=90)]
  lines = verdict.of(rows)
  told = "against greedy (50.0%), what may ask"
  assert f"{told} rules hurts with vote_4" in lines
  assert f"{told} rules makes no sure difference with vote_8" in lines
  assert f"{told} checker helps with mcts_4: most with mcts_4, 80.0%" in lines
  assert any(
    line == "  vote_4: it is not guided by the value, which is not to blame"
    for line in lines
  )
  assert "more budget brings more: vote (30.0% to 52.0%)" in lines


def test_many_budgets_are_told_together():
  rows = [row("greedy", 10)]
  rows += [row(f"vote_{n}", 90, budget=n) for n in (4, 8)]
  rows += [row(f"sampling_{n}", 0, budget=n) for n in (4, 8)]
  rows += [row("mcts_4", 99, budget=4)]
  lines = verdict.of(rows)
  helps = "against greedy (10.0%), what may ask rules helps with"
  assert f"{helps} vote (4, 8), mcts_4: most with mcts_4, 99.0%" in lines
  told = (
    "at about equal tokens mcts solves more: mcts_4 than greedy, vote (4, 8)"
  )
  assert told in lines
  assert not any("sampling" in line for line in lines)


def test_search_against_samples_at_equal_tokens_and_permission():
  rows = [
    row("vote_8", 40, budget=8, tokens=100),
    row("mcts_4", 70, budget=4, tokens=110),
    row("mcts_8", 90, budget=8, tokens=300),
    row("best_of_n_8", 60, budget=8, tokens=320, asks="checker"),
  ]
  lines = verdict.of(rows)
  assert "at about equal tokens mcts solves more: mcts_4 than vote_8" in lines
  assert not any("best_of_n" in line for line in lines)


def test_budget_that_cannot_be_spent():
  rows = [row("mcts_4", 50, budget=4), row("mcts_16", 51, budget=16)]
  told = "mcts_16 spent no more tokens than mcts_4"
  assert any(told in line for line in verdict.of(rows))
  rows[1] = dataclasses.replace(rows[1], tokens=rows[0].tokens * 4)
  assert not any(told in line for line in verdict.of(rows))


def test_a_reason_is_told_once():
  rows = [row("vote_4", 60, budget=4), row("best_of_n_4", 60, budget=4)]
  rows += [row("mcts_4", 20, budget=4, value=np.full(N, 0.9))]
  lines = verdict.of(rows)
  assert len([line for line in lines if "it is too sure" in line]) == 1


def test_why():
  better = row("vote_4", 60)
  lost = np.arange(N) < 60
  sure, modest = np.full(N, 0.9), np.full(N, 0.2)
  worse = row("dvts_4", 20, right=lost * 1, value=sure)
  assert verdict.why(worse, better) == (
    "of the 40 problems that vote_4 alone solves, 40 had a solution among its "
    "paths; the value told 90% of 20% solved: it is too sure, and misled it in "
    "its choice"
  )
  worse = row("dvts_4", 20, right=np.zeros(N, int), value=sure)
  assert "0 had" in verdict.why(worse, better)
  assert verdict.why(worse, better).endswith("misled it on its way")
  worse = row("mcts_4", 20, value=modest)
  assert verdict.why(worse, better) == (
    "the value told 20% of 20% solved: it is not too sure, so calibration is "
    "not the cause"
  )
  worse = row("best_of_n_4", 20, value=sure, guidance="likelihood")
  assert "not guided by the value" in verdict.why(worse, better)


def test_chance_is_no_difference():
  """Of 40 equal methods none is told to differ."""
  rng = np.random.default_rng(0)
  rows = [row("greedy", 50)]
  for i in range(40):
    solved = rng.random(N) < 0.5
    named = row(f"beam_{i + 2}", 0, budget=i + 2)
    rows.append(dataclasses.replace(named, solved=solved))
  assert not any(
    word in line for line in verdict.of(rows) for word in ("hurts", "helps")
  )
