"""Aggregates, ensembles, penalties and mixtures against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.rewards import base, combined

RNG = np.random.default_rng(0)
STEPS = RNG.random((3, 4))
NUM_STEPS = np.array([4, 2, 0])
MASK = np.arange(4)[None] < NUM_STEPS[:, None]


@pytest.mark.parametrize(
  ("how", "of", "of_none"),
  [
    ("last", lambda x: x[-1], 0),
    ("min", np.min, 1),
    ("product", np.prod, 1),
    ("mean", np.mean, 0),
  ],
)
def test_aggregate(how, of, of_none):
  wanted = [of(STEPS[i, :n]) if n else of_none for i, n in enumerate(NUM_STEPS)]
  found = combined.aggregate(jnp.float32(STEPS), MASK, how)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_combine():
  scores = RNG.normal(size=(5, 3, 2))
  for how, wanted in {
    "mean": scores.mean(0),
    "min": scores.min(0),
    "uncertainty": scores.mean(0) - 0.7 * scores.var(0),
  }.items():
    found = combined.combine(jnp.float32(scores), how, weight=0.7)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_length_penalty():
  lengths = np.array([0, 10, 11, 30])
  np.testing.assert_allclose(
    combined.length_penalty(lengths, budget=10, weight=0.5), [0, 0, 0.05, 1]
  )


def solutions():
  return base.Solution(
    problem=None,
    contexts=jnp.zeros((3, 1, 8), jnp.int32),
    ends=jnp.zeros((3, 5), jnp.int32),
    steps=jnp.zeros((3, 4, 2), jnp.int32),
    step_lengths=jnp.asarray(MASK * np.array([[6, 7, 8, 9]])),
    num_steps=jnp.asarray(NUM_STEPS),
    legal=jnp.asarray(MASK),
  )


def fixed(steps, outcome):
  scores = base.Scores(
    steps=jnp.float32(steps * MASK), outcome=jnp.float32(outcome)
  )
  return lambda solution: scores


def test_mixture_and_ensemble():
  other, outcome = RNG.random((3, 4)), RNG.random((2, 3))
  rewards = {
    "process": fixed(STEPS, outcome[0]),
    "other": fixed(other, outcome[1]),
  }
  mixed = (0.25 * STEPS + 2 * other) * MASK
  parts = (("process", 0.25), ("other", 2.0))
  config = combined.MixtureConfig(parts=parts, length_budget=10)
  found = combined.mixture(config, rewards)(solutions())
  penalty = np.array([20 / 10, 3 / 10, 0])
  np.testing.assert_allclose(found.steps, mixed, rtol=1e-5)
  np.testing.assert_allclose(
    found.outcome, 0.25 * outcome[0] + 2 * outcome[1] - penalty, rtol=1e-5
  )
  config = combined.MixtureConfig(parts=parts, aggregate="mean")
  found = combined.mixture(config, rewards)(solutions())
  np.testing.assert_allclose(
    found.outcome, mixed.sum(1) / np.maximum(NUM_STEPS, 1), rtol=1e-5
  )
  both = combined.ensemble(list(rewards.values()), "min")(solutions())
  np.testing.assert_allclose(both.steps, np.minimum(STEPS, other) * MASK)
  np.testing.assert_allclose(both.outcome, outcome.min(0))


def test_what_cannot_be_combined_is_refused():
  with pytest.raises(ValueError, match="'nobody' is none of one"):
    combined.mixture(
      combined.MixtureConfig(parts=(("nobody", 1.0),)),
      {"one": fixed(STEPS, STEPS[:, 0])},
    )
  for options in ({"parts": ()}, {"aggregate": "most"}, {"length_budget": -1}):
    with pytest.raises(ValueError):
      combined.MixtureConfig(**{"parts": (("one", 1.0),)} | options)
  with pytest.raises(ValueError, match="at least one member"):
    combined.ensemble([], "mean")
  with pytest.raises(ValueError, match="none of last"):
    combined.aggregate(STEPS, MASK, "most")
  with pytest.raises(ValueError, match="none of mean"):
    combined.combine(STEPS, "most")
