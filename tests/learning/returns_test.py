"""Returns against sums written out in float64."""

import functools

import numpy as np
import pytest
import unoptimized

from alphallm.learning import returns

N, D, DISCOUNT = 6, 5, 0.9
RNG = np.random.default_rng(0)
REWARDS = RNG.normal(size=(N, D)).astype(np.float32)
VALUES = RNG.random((N, D)).astype(np.float32)
RATIOS = RNG.gamma(2.0, 0.6, (N, D)).astype(np.float32)
NUM_STEPS = np.array([0, 1, 2, 3, 5, 5], np.int32)


def run(f, *args, **options):
  return np.asarray(unoptimized.jit(functools.partial(f, **options))(*args))


def padded(rows):
  """Return rows `[N, D]` with zeros behind what is there."""
  return np.array([[*row, *[0.0] * (D - len(row))] for row in rows])


def episodes():
  for i, n in enumerate(NUM_STEPS):
    exact = [x[i, :n].astype(np.float64) for x in (REWARDS, VALUES, RATIOS)]
    yield n, *exact


def errors(rewards, values, n):
  after = np.append(values[1:], 0.0)[:n]
  return rewards + DISCOUNT * after - values


def test_discounted_returns():
  expected = padded(
    [
      [sum(DISCOUNT ** (k - t) * r[k] for k in range(t, n)) for t in range(n)]
      for n, r, _, _ in episodes()
    ]
  )
  found = run(returns.discounted, REWARDS, NUM_STEPS, discount=DISCOUNT)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_generalized_advantages(lambda_):
  expected = []
  for n, r, v, _ in episodes():
    d = errors(r, v, n)
    decay = DISCOUNT * lambda_
    expected.append(
      [sum(decay ** (k - t) * d[k] for k in range(t, n)) for t in range(n)]
    )
  options = dict(discount=DISCOUNT, lambda_=lambda_)
  found = run(returns.gae, REWARDS, VALUES, NUM_STEPS, **options)
  np.testing.assert_allclose(found, padded(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_lambda_returns_are_means_of_n_step_returns(lambda_):
  expected = []
  for n, r, v, _ in episodes():
    row = []
    for t in range(n):
      most = n - t

      def after(k, t=t, n=n, r=r, v=v):  # k rewards, then the value
        total = sum(DISCOUNT**i * r[t + i] for i in range(k))
        return total + (DISCOUNT**k * v[t + k] if t + k < n else 0.0)

      total = sum(
        (1 - lambda_) * lambda_ ** (k - 1) * after(k) for k in range(1, most)
      )
      row.append(total + lambda_ ** (most - 1) * after(most))
    expected.append(row)
  options = dict(discount=DISCOUNT, lambda_=lambda_)
  found = run(returns.td_lambda, REWARDS, VALUES, NUM_STEPS, **options)
  np.testing.assert_allclose(found, padded(expected), rtol=1e-5, atol=1e-6)


def test_vtrace_by_its_sum():
  """v_s = V(s) + Σ_t γ^{t − s} (Π_{i < t} c_i) ρ_t δ_t (eq. 1)."""
  targets, advantages = [], []
  for n, r, v, ratio in episodes():
    d, c = errors(r, v, n), np.minimum(ratio, 1.2)
    decay = DISCOUNT * 0.8
    row = [
      v[s]
      + sum(
        decay ** (t - s) * np.prod(c[s:t]) * c[t] * d[t] for t in range(s, n)
      )
      for s in range(n)
    ]
    after = np.append(row[1:], 0.0)[:n]
    targets.append(row)
    advantages.append(c * (r + DISCOUNT * after - v))
  run = unoptimized.jit(
    functools.partial(returns.vtrace, discount=DISCOUNT, lambda_=0.8, most=1.2)
  )
  found = run(REWARDS, VALUES, RATIOS, NUM_STEPS)
  np.testing.assert_allclose(found[0], padded(targets), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found[1], padded(advantages), rtol=1e-5, atol=1e-6)


def test_vtrace_on_policy_is_td_lambda():
  options = dict(discount=DISCOUNT, lambda_=0.6)
  ones = np.ones_like(RATIOS)
  targets, _ = unoptimized.jit(functools.partial(returns.vtrace, **options))(
    REWARDS, VALUES, ones, NUM_STEPS
  )
  expected = run(returns.td_lambda, REWARDS, VALUES, NUM_STEPS, **options)
  np.testing.assert_allclose(targets, expected, rtol=1e-5, atol=1e-6)
