"""A round of a journey: its trees as thoughts, and its curves."""

import json

import numpy as np
import pytest

from alphallm import rounds, values
from alphallm.initialization import thoughts
from configs import journey


def small():
  config = journey.get_config("ci")
  config.journey.num_problems = 16
  config.search.update(num_simulations=4, num_candidates=4)
  return config


@pytest.mark.slow
def test_thoughts_of_a_round_solve_their_problems(tmp_path):
  before = rounds.Round(rounds.make(small()), tmp_path, 0)
  path = tmp_path / "round_1" / rounds.THOUGHTS
  figures = before.write(path, 1)
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert len(lines) == figures["thoughts"] > 2
  assert 0 < figures["trees_solved"] <= 1
  for line in lines:
    numbers, _, target = line["prompt"].partition(":")
    numbers = list(map(int, numbers.split()))
    for step in thoughts.answer(line["response"]):
      left, _, result = step.partition("=")
      assert eval_sum(left) == int(result)
      for number in numbers_of(left):
        numbers.remove(number)
      numbers.append(int(result))
    assert numbers == [int(target)]
  assert any("<correct>" in line["response"] for line in lines)


def numbers_of(text):
  for sign in "+-*/":
    text = text.replace(sign, " ")
  return list(map(int, text.split()))


def eval_sum(text):
  a, b = numbers_of(text)
  sign = next(sign for sign in "+-*/" if sign in text)
  return {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]


def test_points_by_length():
  solved = np.array([True, True, False, True])
  tokens = np.array([4, 20, 9, 33])
  assert rounds.by_length(solved, tokens) == [
    [(4 + 8 * 3) / 4, 0.25],
    [(4 + 16 + 9 + 16) / 4, 0.25],
    [(4 + 20 + 9 + 32) / 4, 0.5],
    [(4 + 20 + 9 + 33) / 4, 0.75],
  ]


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"journey": {"num_rounds": 0}}, "journey.num_rounds=0 must be"),
    ({"journey": {"budgets": (0,)}}, "are not numbers above 0"),
    ({"journey": {"miles": 1}}, "journey.miles is unknown"),
    ({"search": {"num_candidates": 0}}, "num_candidates=0 must be"),
    ({"search": {"permission": "rules"}}, "trees that are written down need"),
    ({"search": {"policy": {"kind": "ucb"}}}, "policy.kind='ucb' is none of"),
  ],
)
def test_what_does_not_fit_is_refused(changes, words):
  config = small()
  with config.unlocked():
    for room, values_of in changes.items():
      config[room].update(values_of)
  with pytest.raises(values.UserError) as refused:
    rounds.make(config)
  assert words in str(refused.value)


def test_steps_that_do_not_stand_alone_are_refused(tmp_path):
  config = small()
  with config.unlocked():
    config.task.source.context = "append"
  with pytest.raises(values.UserError, match="config.task.source: "):
    rounds.Round(rounds.make(config), tmp_path, 0)
