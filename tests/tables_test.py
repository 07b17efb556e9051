"""Tests of the tables."""

import numpy as np

from alphallm import tables


def row(name, solved):
  solved = np.array(solved, bool)
  steps = 2.0 if solved.any() else float("nan")
  tokens = np.full(len(solved), 7)
  return tables.Row(
    name=name,
    asks="rules",
    solved=solved,
    tokens=tokens,
    seconds=1,
    steps=steps,
  )


def test_the_table():
  before = [row("greedy", [0, 0]), row("mcts_4", [0, 0])]
  after = [row("greedy", [1, 0]), row("mcts_4", [0, 0])]
  lines = tables.by_method(before, after).splitlines()
  assert lines[2] == (
    "| greedy | rules | 0.0% | 50.0% | 9.5% to 90.5% | 2.0 | 7 |"
  )
  assert lines[3].split(" | ")[5] == "–"
  assert {line.count("|") for line in lines} == {8}
  lines = tables.by_method([], after).splitlines()
  assert lines[2] == "| greedy | rules | 50.0% | 9.5% to 90.5% | 2.0 | 7 |"
  assert {line.count("|") for line in lines} == {7}
