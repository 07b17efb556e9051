"""How many different solutions a policy finds."""

import collections
import math
from collections.abc import Hashable, Sequence


def distinct_at(
  n: int, solutions: Sequence[Sequence[Hashable | None]]
) -> float:
  """Return how many distinct solutions n samples of a problem hold, on average.

  The mean over problems of Σ_s 1 − C(N − c_s, n) / C(N, n), c_s being how many
  of the N samples are the solution s: unbiased, as is pass@k (Chen et al.,
  2021, eq. 1), which counts one solution at most.

  Args:
    n: samples, at most N.
    solutions: of each problem N samples, each the name of a solution, or None
      of one that solves nothing.
  """
  total = 0.0
  for samples in solutions:
    counts = collections.Counter(s for s in samples if s is not None)
    every = math.comb(len(samples), n)
    total += sum(
      1 - math.comb(len(samples) - count, n) / every
      for count in counts.values()
    )
  return total / len(solutions)
