"""Baselines of groups against loops in float64."""

import numpy as np
import pytest
import unoptimized

from alphallm.learning import advantages

N, G = 7, 4
RNG = np.random.default_rng(0)
RETURNS = RNG.random((N, G)).astype(np.float32)
VALID = RNG.random((N, G)) < 0.7
VALID[0], VALID[1], VALID[2] = False, True, [0, 1, 0, 0]
RETURNS[1] = 0.5  # all the same


def by_hand(advantage):
  """Return `advantage(i, returns of the group)` of each attempt there is."""
  expected = np.zeros((N, G))
  for n, g in np.argwhere(VALID):
    there = np.flatnonzero(VALID[n])
    group = RETURNS[n, there].astype(np.float64)
    expected[n, g] = advantage(int(np.flatnonzero(there == g)[0]), group)
  return expected


def others(i, group):
  return np.delete(group, i).mean() if len(group) > 1 else group[i]


CASES = {
  "grpo": (
    advantages.grpo,
    lambda i, x: (x[i] - x.mean()) / (x.std() + 1e-6),
  ),
  "dr_grpo": (
    lambda r, v: advantages.grpo(r, v, use_std=False),
    lambda i, x: x[i] - x.mean(),
  ),
  "rloo": (advantages.rloo, lambda i, x: x[i] - others(i, x)),
}


@pytest.mark.parametrize("name", CASES)
def test_groups(name):
  f, advantage = CASES[name]
  found = unoptimized.jit(f)(RETURNS, VALID)
  np.testing.assert_allclose(found, by_hand(advantage), rtol=1e-4, atol=1e-6)


def test_the_mean_of_all_attempts():
  found = unoptimized.jit(advantages.mean_baseline)(RETURNS, VALID)
  mean = RETURNS[VALID].astype(np.float64).mean()
  expected = np.where(VALID, RETURNS - mean, 0)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_remax_subtracts_the_greedy_return():
  found = unoptimized.jit(advantages.remax)(RETURNS, VALID)
  expected = np.zeros((N, G))
  for n, g in np.argwhere(VALID):
    if g and VALID[n, 0]:
      expected[n, g] = RETURNS[n, g] - RETURNS[n, 0]
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert np.any(found)


def test_groups_without_a_difference_are_left_out():
  found = unoptimized.jit(advantages.is_mixed)(RETURNS, VALID)
  expected = [len(set(RETURNS[n][VALID[n]])) > 1 for n in range(N)]
  np.testing.assert_array_equal(found, expected)
  assert True in expected and False in expected


def test_normalized_advantages():
  found = unoptimized.jit(advantages.normalized)(RETURNS, VALID)
  kept = RETURNS[VALID].astype(np.float64)
  expected = (RETURNS - kept.mean()) / kept.std() * VALID
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
