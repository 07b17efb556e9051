"""The loss of decisions against NumPy in float64."""

import functools

import fake_model
import jax
import numpy as np
import pytest
import scored
import unoptimized

from alphallm.learning import decisions, policy_gradient, surrogates

RNG = np.random.default_rng(5)
WEIGHTS = dict(value_weight=0.5, value_clip=0.1, entropy_weight=0.1)


def some_decisions():
  batch = scored.some_batch()
  shape = batch.weights.shape
  log_probs = RNG.normal(-2.0, 0.5, (*shape, scored.T))
  log_probs[np.arange(scored.T) >= batch.lengths[..., None]] = 0
  return decisions.Decision(
    **{
      **batch,
      "advantages": RNG.normal(size=shape).astype(np.float32),
      "log_probs": log_probs.astype(np.float32),
      "old_values": RNG.random(shape[:2]).astype(np.float32),
    }
  )


BATCH = some_decisions()


def each_token(params):
  """Return log π and entropy at each token there is, by its place."""
  for place in np.ndindex(*BATCH.candidates.shape[:3]):
    b, s = place[:2]
    context = BATCH.context[b, : BATCH.ends[b, s]].tolist()
    for t in range(BATCH.lengths[place]):
      log_probs = fake_model.reference(params, context)[0]
      token = BATCH.candidates[(*place, t)]
      entropy = -np.sum(np.exp(log_probs) * log_probs)
      yield (*place, t), log_probs[token], entropy
      context.append(token)


def reference_loss(params, unit, constant, clip):
  log_probs, entropies = np.zeros(BATCH.log_probs.shape), []
  for place, log_prob, entropy in each_token(params):
    log_probs[place] = log_prob
    if BATCH.mask[place[:2]]:
      entropies.append(entropy)
  old = BATCH.log_probs.astype(np.float64)
  there = np.arange(scored.T) < BATCH.lengths[..., None]
  if unit == "step":
    log_probs, old = (
      log_probs.sum(-1, keepdims=True),
      old.sum(-1, keepdims=True),
    )
    there = there[..., :1]
  weights = BATCH.weights[..., None] * there
  ratio = np.exp(np.where(weights > 0, log_probs - old, 0))
  judged = BATCH.advantages[..., None]
  each = -np.minimum(
    ratio * judged, np.clip(ratio, 1 - clip, 1 + clip) * judged
  )
  policy = (weights * each).sum() / (each.size if constant else weights.sum())
  _, values = scored.reference_scores(params, BATCH)
  near = BATCH.old_values + np.clip(values - BATCH.old_values, -0.1, 0.1)
  error = np.maximum((values - BATCH.values) ** 2, (near - BATCH.values) ** 2)
  value = (error * BATCH.mask).sum() / BATCH.mask.sum()
  return policy + 0.5 * value - 0.1 * np.mean(entropies)


@pytest.mark.parametrize(
  "unit, constant",
  [
    ("token", False),
    pytest.param("step", False, marks=pytest.mark.slow),
    pytest.param("token", True, marks=pytest.mark.slow),
  ],
)
def test_loss_and_its_gradient(unit, constant):
  run = unoptimized.jit(
    jax.value_and_grad(
      lambda params: policy_gradient.loss(
        fake_model.apply_fn,
        params,
        BATCH,
        functools.partial(surrogates.clipped, clip=0.3),
        unit=unit,
        constant=constant,
        clip=0.3,
        **WEIGHTS,
      ),
      has_aux=True,
    )
  )
  (loss, metrics), grads = run(scored.PARAMS)
  exact = jax.tree.map(lambda x: np.asarray(x, np.float64), scored.PARAMS)
  expected = lambda params: reference_loss(params, unit, constant, 0.3)
  np.testing.assert_allclose(loss, expected(exact), rtol=1e-5, atol=1e-6)
  assert 0 < metrics["clip_fraction"] < 1 and metrics["entropy"] > 0
  bias = grads["bias"]
  place, eps = np.unravel_index(np.argmax(np.abs(bias)), bias.shape), 1e-6
  ends = []
  for sign in 1, -1:
    moved = {**exact, "bias": exact["bias"].copy()}
    moved["bias"][place] += sign * eps
    ends.append(expected(moved))
  slope = (ends[0] - ends[1]) / (2 * eps)
  np.testing.assert_allclose(bias[place], slope, rtol=1e-3)


def test_what_was_played_is_recalled():
  found = unoptimized.jit(
    functools.partial(decisions.recall, fake_model.apply_fn)
  )(scored.PARAMS, BATCH)
  expected = np.zeros(BATCH.log_probs.shape)
  for place, log_prob, _ in each_token(scored.PARAMS):
    expected[place] = log_prob
  np.testing.assert_allclose(found.log_probs, expected, rtol=1e-4, atol=1e-5)
  _, values = scored.reference_scores(scored.PARAMS, BATCH)
  np.testing.assert_allclose(found.old_values, values, rtol=1e-5)
