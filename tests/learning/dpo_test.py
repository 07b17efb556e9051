"""Losses of pairs, of solutions and of steps, against NumPy in float64."""

import functools

import fake_model
import jax
import numpy as np
import pytest
import scored
import unoptimized

from alphallm.learning import dpo

REFERENCE = fake_model.init_params(
  scored.V, seed=2, max_positions=scored.C + scored.T
)


def of_margin(what, margin):
  if what.loss_kind == "ipo":
    return (margin - 1 / (2 * what.beta)) ** 2
  return np.log1p(np.exp(-what.beta * margin))


def exact(params):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


def run(what, batch):
  loss = functools.partial(what.loss, fake_model.apply_fn)
  return unoptimized.jit(loss)(scored.PARAMS, batch, reference=REFERENCE)


@pytest.mark.parametrize(
  "options",
  [
    {"by_length": True},
    pytest.param({}, marks=pytest.mark.slow),
    pytest.param({"loss_kind": "ipo"}, marks=pytest.mark.slow),
  ],
)
def test_pairs_of_solutions(options):
  """A solution's log-probability is the sum over all of its states."""
  what = dpo.DPO(beta=0.2, likelihood_weight=0.3, **options)
  sides = [scored.some_batch(seed=seed) for seed in (0, 1)]
  sides = [
    side.replace(
      candidates=side.candidates[..., :1, :], lengths=side.lengths[..., :1]
    )
    for side in sides
  ]
  batch = jax.tree.map(lambda *x: np.stack(x, 1)[:, :, None], *sides)
  loss, metrics = run(what, batch)
  ratios, likelihoods = [], []
  for side in sides:
    log_probs, reference = (
      (scored.reference_scores(exact(p), side)[0][..., 0] * side.mask).sum(-1)
      for p in (scored.PARAMS, REFERENCE)
    )
    lengths = (side.lengths[..., 0] * side.mask).sum(-1)
    likelihoods.append(log_probs / lengths)
    ratios.append(
      (log_probs - reference) / (lengths if options.get("by_length") else 1)
    )
  margin = ratios[0] - ratios[1]
  expected = of_margin(what, margin).mean() - 0.3 * likelihoods[0].mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-4)
  np.testing.assert_allclose(metrics["accuracy"], (margin > 0).mean())


@pytest.mark.parametrize(
  "loss_kind", ["ipo", pytest.param("dpo", marks=pytest.mark.slow)]
)
def test_pairs_of_steps(loss_kind):
  what = dpo.StepDPO(
    beta=0.2, loss_kind=loss_kind, value_weight=0.5, likelihood_weight=0.3
  )
  batch = scored.some_batch()
  is_pair = np.random.default_rng(0).random(batch.mask.shape) < 0.6
  batch = batch.replace(
    candidates=batch.candidates[..., :2, :],
    lengths=batch.lengths[..., :2],
    weights=np.repeat(is_pair[..., None], 2, -1).astype(np.float32),
  )
  loss, metrics = run(what, batch)
  (log_probs, v), (reference, _) = (
    scored.reference_scores(exact(p), batch) for p in (scored.PARAMS, REFERENCE)
  )
  ratio = log_probs - reference
  margin = (ratio[..., 0] - ratio[..., 1])[is_pair]
  z = batch.values.astype(np.float64)
  value = -z * np.log(v) - (1 - z) * np.log(1 - v)
  value = (value * batch.mask).sum() / batch.mask.sum()
  better = (log_probs / batch.lengths)[..., 0][is_pair].mean()
  expected = of_margin(what, margin).mean() + 0.5 * value - 0.3 * better
  np.testing.assert_allclose(loss, expected, rtol=1e-4)
  assert metrics["kl"] > 0
