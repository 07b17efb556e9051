import functools
import itertools

import numpy as np
import pytest

from alphallm.tasks import countdown

TASK = countdown.Countdown()


@functools.cache
def values_of(numbers, max_value):
  """Return all that ascending `numbers` make, halved in every way.

  Unlike the solver, which combines two numbers at a time, this writes every
  expression as an operator over two smaller expressions.
  """
  if len(numbers) == 1:
    return frozenset(numbers)
  values = set()
  places = range(len(numbers))
  for size in range(1, len(numbers)):
    for chosen in itertools.combinations(places, size):
      left = tuple(numbers[i] for i in chosen)
      right = tuple(numbers[i] for i in places if i not in chosen)
      for a in values_of(left, max_value):
        for b in values_of(right, max_value):
          values |= {a + b, a * b}
          if a >= b:
            values.add(a - b)
          if b and a % b == 0:
            values.add(a // b)
  return frozenset(x for x in values if x <= max_value)


def rows(problems):
  return zip(problems.numbers.tolist(), problems.target.tolist(), strict=True)


def replayed(numbers, steps):
  """Apply steps in plain Python; return what is left."""
  remaining = list(numbers)
  for step in steps:
    left, result = step.removesuffix("\n").split("=")
    sign = next(c for c in "+-*/" if c in left)
    a, b = map(int, left.split(sign))
    remaining.remove(a)
    remaining.remove(b)
    proof = {"+": (a + b, int(result)), "-": (b + int(result), a),
             "*": (a * b, int(result)), "/": (b * int(result), a)}  # fmt: skip
    assert proof[sign][0] == proof[sign][1] and int(result) >= 0
    assert sign != "/" or b
    remaining.append(int(result))
  return remaining


def test_solver_agrees_with_enumeration():
  rng = np.random.default_rng(0)
  num_solved = 0
  for max_value in (200, 9999):
    task = countdown.Countdown(max_value=max_value)
    for _ in range(30):
      numbers = rng.integers(1, 30, 4).tolist()
      target = int(rng.integers(10, 101))
      steps = task.solve(numbers, target)
      possible = target in values_of(tuple(sorted(numbers)), max_value)
      assert (steps is not None) == possible
      if steps is not None:
        assert replayed(numbers, steps) == [target]
        num_solved += 1
  assert 10 < num_solved < 60


@pytest.mark.parametrize("split", ["train", "test"])
def test_problems_are_solvable_and_in_range(split):
  problems = TASK.sample_numpy(np.random.default_rng(1), 100, split)
  assert problems.numbers.dtype == problems.target.dtype == np.int32
  for numbers, target in rows(problems):
    assert all(1 <= x <= 99 for x in numbers) and 10 <= target <= 100
    assert replayed(numbers, TASK.solve(numbers, target)) == [target]


def test_generator_keeps_every_solvable_problem():
  """Of a tiny space, the sampled problems are exactly the solvable ones."""
  task = countdown.Countdown(
    num_numbers=3, min_target=5, max_target=9, max_number=4, max_value=10
  )
  sampled = set()
  for split in ("train", "test"):
    problems = task.sample_numpy(np.random.default_rng(0), 4000, split)
    sampled |= {(*sorted(x), target) for x, target in rows(problems)}
  expected = {
    (*numbers, target)
    for numbers in itertools.combinations_with_replacement(range(1, 5), 3)
    for target in range(5, 10)
    if target in values_of(numbers, 10)
  }
  assert sampled == expected


def test_other_sizes():
  for num_numbers in (2, 5):
    task = countdown.Countdown(num_numbers=num_numbers)
    problems = task.sample_numpy(np.random.default_rng(0), 5, "test")
    assert problems.numbers.shape == (5, num_numbers)
    for numbers, target in rows(problems):
      assert task.solve(numbers, target) is not None
  empty = TASK.sample_numpy(np.random.default_rng(0), 0, "train")
  assert empty.numbers.shape == (0, 4)


def test_impossible_settings_are_named():
  with pytest.raises(ValueError, match="no solvable problem"):
    countdown.Countdown(num_numbers=2, max_number=2).sample_numpy(
      np.random.default_rng(0), 1, "train"
    )
  with pytest.raises(ValueError, match="num_numbers 7"):
    countdown.Countdown(num_numbers=7)
  with pytest.raises(ValueError, match="max_value 99999"):
    countdown.Countdown(max_value=99_999)
  with pytest.raises(ValueError, match="not a range"):
    countdown.Countdown(min_target=50, max_target=20)
  with pytest.raises(ValueError, match="above max_value"):
    countdown.Countdown(max_target=10_000, max_number=9)


def test_sizes():
  assert (TASK.max_step_tokens, TASK.max_observation_tokens) == (15, 16)
  assert TASK.max_prompt_tokens == len("99 99 99 99:100\n") == 16
  assert countdown.Countdown(max_value=999).max_step_tokens == 12
