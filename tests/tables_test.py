"""Tests of the tables."""

import csv
import dataclasses

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


def test_pairs_of_about_equal_cost():
  rows = [row("a", [1, 1, 1, 0]), row("b", [0, 0, 1, 1]), row("c", [1] * 4)]
  rows[2] = dataclasses.replace(rows[2], tokens=np.full(4, 9))
  lines = tables.at_equal_cost(rows).splitlines()
  assert lines[2:] == ["| a | b | 2 | 1 | 1 |"]
  assert tables.at_equal_cost(rows[1:]) == ""
  rows[1] = dataclasses.replace(rows[1], asks="checker")
  assert tables.at_equal_cost(rows[:2]) == ""


def test_the_table_as_csv(tmp_path):
  rows = [
    row("greedy", [1, 0]),
    dataclasses.replace(
      row("vote_4", [0, 0]),
      budget=4,
      right=np.array([0, 3]),
      value=np.array([0.5, 0.0]),
    ),
  ]
  path = tables.write_csv(rows, tmp_path / "table.csv")
  with path.open(newline="") as file:
    first, second = csv.DictReader(file)
  assert first["solved"] == "0.5" and first["any_path"] == ""
  assert second["method"] == "vote_4" and second["budget"] == "4"
  assert second["any_path"] == "0.5" and second["tokens"] == "7"
  assert second["calibration_error"] == "0.25"
