"""The game of 24: four cards of 1 to 13, all of them to make 24.

Of the 1,820 hands 1,362 can be solved, some by fractions alone: of 3 3 8 8 it
is 8 / (3 - 8 / 3), the steps "8/3=8|3", "3-8|3=1|3", "8/1|3=24". The task that
Tree of Thoughts made known (Yao et al. 2023, arXiv:2305.10601).
"""

import dataclasses
import functools
import itertools
from typing import ClassVar

import numpy as np

from alphallm.tasks import arithmetic, base, hashing, rational

_NUM_CARDS, _MAX_CARD, _TARGET = 4, 13, 24


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game24(arithmetic.Arithmetic):
  """The game of 24; no result is negative, and none is too large."""

  name: ClassVar[str] = "game24"
  num_numbers = _NUM_CARDS
  max_number = _MAX_CARD
  min_target = max_target = _TARGET
  max_value = _MAX_CARD**_NUM_CARDS
  fractional = True
  # The longest that can come up, such as "13|11+13|12=299|132" and
  # "13 13 13 13:24", each with its newline.
  max_step_tokens = 20
  max_observation_tokens = 15

  def sample_numpy(
    self, rng: np.random.Generator, num_problems: int, split: base.Split
  ) -> arithmetic.Problem:
    """As of `base.Task`: uniform over the split's hands, cards in any order."""
    hands = solvable_hands()
    targets = np.full(len(hands), _TARGET, np.int32)
    hashed = rational.hash_numbers(
      rational.Rational(hands, np.ones_like(hands)), targets
    )
    hands = hands[hashing.in_test_split(hashed) == (split == "test")]
    drawn = hands[rng.integers(len(hands), size=num_problems)]
    return arithmetic.Problem(
      numbers=rng.permuted(drawn, axis=1),
      target=np.full(num_problems, _TARGET, np.int32),
    )


@functools.lru_cache
def solvable_hands() -> np.ndarray:
  """Return the hands that make 24, `[1362, 4]` int32, each row ascending."""
  cards = range(1, _MAX_CARD + 1)
  hands = np.array(
    list(itertools.combinations_with_replacement(cards, _NUM_CARDS)), np.int32
  )
  values = rational.reachable(hands.astype(np.float64), _combine_values)
  # A fraction whose denominator is at most 13 ** 4 is 24 or far from it.
  solvable = np.any(np.abs(values - _TARGET) < 1e-6, axis=1)
  hands = hands[solvable]
  hands.flags.writeable = False  # it is shared
  return hands


def _combine_values(a, b):
  with np.errstate(divide="ignore", invalid="ignore"):
    results = [a + b, np.abs(a - b), a * b, a / b, b / a]
  for result in results[3:]:
    result[np.isinf(result)] = np.nan
  return results
