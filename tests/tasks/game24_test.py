import fractions
import functools
import itertools

import numpy as np
import pytest

from alphallm.tasks import game24

TASK = game24.Game24()


@functools.cache
def values_of(cards):
  """Return all that ascending `cards` make; negative values are allowed."""
  if len(cards) == 1:
    return frozenset(map(fractions.Fraction, cards))
  values = set()
  places = range(len(cards))
  for size in range(1, len(cards) // 2 + 1):
    for chosen in itertools.combinations(places, size):
      left = tuple(cards[i] for i in chosen)
      right = tuple(cards[i] for i in places if i not in chosen)
      for a in values_of(left):
        for b in values_of(right):
          values |= {a + b, a - b, b - a, a * b}
          values |= ({a / b} if b else set()) | ({b / a} if a else set())
  return frozenset(values)


def test_there_are_1362_hands():
  hands = game24.solvable_hands()
  assert hands.shape == (1362, 4) and hands.dtype == np.int32
  assert len(set(map(tuple, hands.tolist()))) == 1362
  assert np.all(np.diff(hands, axis=1) >= 0)


def test_forbidding_negative_numbers_loses_no_hand():
  """One hand in fifteen, by the solver and by fractions of either sign."""
  solvable = set(map(tuple, game24.solvable_hands().tolist()))
  cards = range(1, 14)
  hands = itertools.combinations_with_replacement(cards, 4)
  for hand in itertools.islice(hands, 0, None, 15):
    assert (hand in solvable) == (24 in values_of(hand))
    assert (hand in solvable) == (TASK.solve(hand, 24) is not None)


def test_solves_by_fractions():
  steps = TASK.solve([3, 3, 8, 8], 24)
  assert steps == ["8/3=8|3\n", "3-8|3=1|3\n", "8/1|3=24\n"]
  assert TASK.solve([1, 1, 1, 1], 24) is None


@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_hands_in_any_order(split):
  problems = TASK.sample_numpy(np.random.default_rng(0), 2000, split)
  assert problems.numbers.dtype == problems.target.dtype == np.int32
  assert np.all(problems.target == 24)
  hands = set(map(tuple, game24.solvable_hands().tolist()))
  drawn = {tuple(sorted(row)) for row in problems.numbers.tolist()}
  assert drawn <= hands
  assert len(drawn) > (500 if split == "train" else 100)
  assert not np.all(np.diff(problems.numbers, axis=1) >= 0)


def test_sizes():
  assert TASK.max_prompt_tokens == len("13 13 13 13:24\n") == 15
  assert (TASK.max_step_tokens, TASK.max_observation_tokens) == (20, 15)
  assert (TASK.max_steps, TASK.num_numbers) == (3, 4)


def test_which_states_are_solvable():
  """On the way of 8 / (3 - 8/3): fractions are read as they are written."""
  assert TASK.is_solvable("3 3 8 8:24\n")
  assert TASK.is_solvable("3 3 8 8:24\n8/3=8/3\n3 8 8/3:24\n")
  assert TASK.is_solvable("8 1/3:24\n") and TASK.is_solvable("24:24\n")
  assert not TASK.is_solvable("8 3/3:25\n") and not TASK.is_solvable("23:24")
