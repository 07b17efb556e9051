"""Tests of distinct solutions per n samples, against all draws."""

import itertools

import numpy as np
import pytest

from alphallm import measure
from alphallm.initialization import diversity

SOLUTIONS = [["a", "b", None, "a"], [None] * 4, ["c", "c", "c", "c"]]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_against_all_draws(n):
  means = [
    np.mean([len(set(x) - {None}) for x in itertools.combinations(samples, n)])
    for samples in SOLUTIONS
  ]
  found = diversity.distinct_at(n, SOLUTIONS)
  np.testing.assert_allclose(found, np.mean(means))
  right = np.array([sum(s is not None for s in x) for x in SOLUTIONS])
  assert found >= measure.pass_at(n, 4, right) - 1e-12
