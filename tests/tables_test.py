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


def test_pairs_of_about_equal_wall_time(tmp_path):
  rows = [row("a", [1, 1, 0]), row("b", [0, 0, 1]), row("c", [1] * 3)]
  assert tables.at_equal_cost(rows, "wall time") == ""  # no pace is known
  rows = [
    dataclasses.replace(x, pace=pace, tokens=np.full(3, tokens))
    for x, pace, tokens in zip(rows, (1.0, 1.2, 2.0), (1, 9, 9), strict=True)
  ]
  lines = tables.at_equal_cost(rows, "wall time").splitlines()
  assert lines[2:] == ["| a | b | 2 | 1 | 1 |"]
  path = tables.write_pairs(rows, tmp_path / "pairs.csv")
  with path.open(newline="") as file:
    found = [
      (x["equal"], x["method"], x["against"]) for x in csv.DictReader(file)
    ]
  assert found == [("tokens", "b", "c"), ("wall time", "a", "b")]


def test_of_many_pairs_those_of_tree_search_are_told():
  rows = [row(f"vote_{i}", [1, 0]) for i in range(10)] + [row("mcts_4", [1, 1])]
  lines = tables.at_equal_cost(rows).splitlines()[2:]
  assert len(lines) == 10 and all("mcts_4" in line for line in lines)


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
