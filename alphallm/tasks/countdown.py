"""Countdown: whole numbers, all of them to be combined into a target.

As in Stream of Search (Gandhi et al. 2024, arXiv:2404.03683): two of the
numbers are replaced by their sum, difference, product or exact quotient until
one is left, which must be the target.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from alphallm.tasks import arithmetic, base, hashing, rational

_MAX_BLOCKS_IN_VAIN = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Countdown(arithmetic.Arithmetic):
  """Countdown; no result is negative, a fraction or above `max_value`.

  Attributes:
    num_numbers: how many numbers a problem has, 2 to 6.
    min_target: the smallest target.
    max_target: the largest target.
    max_number: the largest number of a problem; by default `max_target - 1`,
      as in Stream of Search.
    max_value: the largest result. T grows with its digits: 15 tokens for 9999,
      12 for 999.
  """

  num_numbers: int = 4
  min_target: int = 10
  max_target: int = 100
  max_number: int | None = None
  max_value: int = 9999

  name: ClassVar[str] = "countdown"

  def __post_init__(self):
    if self.max_number is None:
      object.__setattr__(self, "max_number", self.max_target - 1)
    super().__post_init__()

  @property
  def max_step_tokens(self) -> int:
    """Every legal step fits: three numbers and three marks."""
    return 3 * len(str(self.max_value)) + 3

  @property
  def max_observation_tokens(self) -> int:
    """After each step one more of the fewer numbers may be a long result."""
    short, long = len(str(self.max_number)), len(str(self.max_value))
    numbers = max(
      min(k, n) * (long - short) + n * (short + 1)
      for k, n in enumerate(range(self.num_numbers, 0, -1))
    )
    return numbers + len(str(self.max_target)) + 1

  def sample_numpy(
    self, rng: np.random.Generator, num_problems: int, split: base.Split
  ) -> arithmetic.Problem:
    """As of `base.Task`: uniform over the solvable problems of the split.

    Numbers are uniform in `[1, max_number]` and targets in
    `[min_target, max_target]`; those that no play can solve are left out.

    Raises:
      ValueError: if the split seems to hold no solvable problem.
    """
    numbers = np.zeros((0, self.num_numbers), np.int32)
    targets = np.zeros(0, np.int32)
    # A block's size does not depend on what is asked for, so that a few
    # problems are the first of many. What is reachable from it is some MB.
    size = min(256, 2 ** max(30 - 5 * self.num_numbers, 2))
    blocks_in_vain = 0
    while len(targets) < num_problems:
      # Only one in ten is of the test split.
      draws = (16 if split == "test" else 2) * size
      drawn = rng.integers(
        1, self.max_number + 1, (draws, self.num_numbers), np.int32
      )
      aims = rng.integers(self.min_target, self.max_target + 1, draws, np.int32)
      hashed = rational.hash_numbers(
        rational.Rational(drawn, np.ones_like(drawn)), aims
      )
      is_test = hashing.in_test_split(hashed)
      kept = np.flatnonzero(is_test == (split == "test"))[:size]
      kept = kept[self._is_solvable(drawn[kept], aims[kept])]
      numbers = np.concatenate([numbers, drawn[kept]])
      targets = np.concatenate([targets, aims[kept]])
      blocks_in_vain = 0 if len(kept) else blocks_in_vain + 1
      if blocks_in_vain > _MAX_BLOCKS_IN_VAIN:
        raise ValueError(f"found no solvable problem of {self}, split {split}")
    return arithmetic.Problem(
      numbers=numbers[:num_problems], target=targets[:num_problems]
    )

  def _is_solvable(self, numbers, targets):
    values = rational.reachable(
      numbers.astype(np.float32), self._combine_values
    )
    return np.any(values == targets[:, None], axis=1)

  def _combine_values(self, a, b):
    # Exact in float32: what is not a NaN is a whole number below 2 ** 15, and
    # of such a quotient rounding makes no whole number.
    high, low = np.maximum(a, b), np.minimum(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
      quotient = high / low
    quotient[quotient != np.floor(quotient)] = np.nan
    results = [high + low, high - low, high * low, quotient]
    for result in results:
      result[result > self.max_value] = np.nan
    return results
