"""Losses of pairs against float64, their gradients by finite differences."""

import jax
import numpy as np
import pytest
import unoptimized

from alphallm.learning import preferences

N = 32
RNG = np.random.default_rng(0)
LOG_PROBS, REFERENCE = RNG.normal(-5, 2, (2, N, 2)).astype(np.float32)
LENGTHS = RNG.integers(1, 9, (N, 2))


def margin(x, by_length):
  ratio = x - REFERENCE.astype(np.float64)
  ratio = ratio / LENGTHS if by_length else ratio
  return ratio[:, 0] - ratio[:, 1]


LOSSES = {
  "dpo": (preferences.dpo, lambda m, beta: np.log1p(np.exp(-beta * m))),
  "ipo": (preferences.ipo, lambda m, beta: (m - 1 / (2 * beta)) ** 2),
}


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_pairs(name, by_length):
  f, reference = LOSSES[name]
  lengths = LENGTHS if by_length else None
  loss = lambda x: f(preferences.margins(x, REFERENCE, lengths), 0.3)
  values = unoptimized.jit(loss)(LOG_PROBS)
  exact = LOG_PROBS.astype(np.float64)
  expected = lambda x: reference(margin(x, by_length), 0.3)
  np.testing.assert_allclose(values, expected(exact), rtol=1e-4, atol=1e-6)
  grads = unoptimized.jit(jax.grad(lambda x: loss(x).sum()))(LOG_PROBS)
  for side in range(2):
    step = np.eye(2)[side] * 1e-6
    slope = (expected(exact + step) - expected(exact - step)) / 2e-6
    np.testing.assert_allclose(grads[:, side], slope, rtol=1e-3, atol=1e-5)
