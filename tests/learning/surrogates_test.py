"""Surrogates against float64, their gradients by finite differences."""

import functools

import jax
import numpy as np
import pytest
import unoptimized

from alphallm.learning import surrogates

N = 64
RNG = np.random.default_rng(0)
LOG_PROBS = RNG.normal(-2, 1, N).astype(np.float32)
OLD = (LOG_PROBS + RNG.normal(0, 0.4, N)).astype(np.float32)
ADVANTAGES = RNG.normal(size=N).astype(np.float32)
RATIO = np.exp(LOG_PROBS.astype(np.float64) - OLD)


def clipped(log_probs, low, high):
  ratio = np.exp(log_probs - OLD)
  return -np.minimum(
    ratio * ADVANTAGES, np.clip(ratio, 1 - low, 1 + high) * ADVANTAGES
  )


def reinforce(log_probs, most=None):
  weight = 1.0 if most is None else np.minimum(RATIO, most)
  return -weight * ADVANTAGES * log_probs


CASES = {
  "reinforce": (
    lambda x: surrogates.reinforce(x, ADVANTAGES),
    reinforce,
  ),
  "importance": (
    lambda x: surrogates.importance_weighted(x, OLD, ADVANTAGES, most=1.1),
    functools.partial(reinforce, most=1.1),
  ),
  "clipped": (
    lambda x: surrogates.clipped(x, OLD, ADVANTAGES, clip=0.2),
    lambda x: clipped(x, 0.2, 0.2),
  ),
  "clip_higher": (
    lambda x: surrogates.clipped(x, OLD, ADVANTAGES, clip=0.2, clip_high=0.28),
    lambda x: clipped(x, 0.2, 0.28),
  ),
  "approximate_kl": (
    lambda x: surrogates.approximate_kl(x, OLD),
    lambda x: np.exp(x - OLD) - 1 - (x - OLD),
  ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
  f, reference = CASES[name]
  values = unoptimized.jit(f)(LOG_PROBS)
  exact = LOG_PROBS.astype(np.float64)
  np.testing.assert_allclose(values, reference(exact), rtol=2e-5, atol=1e-6)
  grads = unoptimized.jit(jax.grad(lambda x: f(x).sum()))(LOG_PROBS)
  step = 1e-6
  expected = (reference(exact + step) - reference(exact - step)) / (2 * step)
  np.testing.assert_allclose(grads, expected, rtol=1e-4, atol=1e-5)


def test_what_is_clipped_has_no_gradient():
  options = dict(clip=0.2, clip_high=0.28)
  loss = lambda x: surrogates.clipped(x, OLD, ADVANTAGES, **options).sum()
  grads = unoptimized.jit(jax.grad(loss))(LOG_PROBS)
  found = surrogates.is_clipped(LOG_PROBS, OLD, ADVANTAGES, **options)
  np.testing.assert_array_equal(found, np.asarray(grads) == 0)
  assert 0 < np.mean(found) < 1


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_value_error(clip):
  values, old, targets = RNG.random((3, N)).astype(np.float32)
  v, o, z = (x.astype(np.float64) for x in (values, old, targets))
  expected = (v - z) ** 2
  if clip:
    near = np.clip(v, o - clip, o + clip)
    expected = np.maximum(expected, (near - z) ** 2)
  found = surrogates.value_error(values, old, targets, clip=clip)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_coefficient_adapts():
  new = [surrogates.adapted(0.2, kl, 0.03) for kl in (0.01, 0.03, 0.1)]
  np.testing.assert_allclose(new, [0.1, 0.2, 0.4], rtol=1e-6)
