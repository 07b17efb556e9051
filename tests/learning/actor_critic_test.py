"""The loss of whole episodes against NumPy in float64."""

import dataclasses
import functools

import fake_model
import jax
import numpy as np
import pytest
import scored
import unoptimized

from alphallm.learning import actor_critic, returns

B, D = scored.B, 4
RNG = np.random.default_rng(3)
WHAT = actor_critic.ActorCritic(
  ratio_clip=1.2, gae_lambda=0.8, entropy_weight=0.0
)


def some_attempts(kind):
  """Return B episodes of up to D states: D contexts, or one."""
  batch = scored.some_batch(D if kind == "append" else 1)
  if kind == "reset":  # D contexts of one state for each episode
    rows = [scored.some_batch(1, seed) for seed in range(D)]
    batch = jax.tree.map(lambda *x: np.stack(x, 1), *rows)
  else:
    batch = jax.tree.map(lambda x: x[:, None], batch)
  num_steps = np.array([D, 2, 1], np.int32)
  there = np.arange(D) < num_steps[:, None]
  batch = batch.replace(
    candidates=batch.candidates[..., :1, :],
    lengths=batch.lengths[..., :1],
    mask=there.reshape(batch.mask.shape).astype(np.float32),
  )
  return actor_critic.Attempt(
    steps=batch,
    rewards=(RNG.random((B, D)) * there).astype(np.float32),
    num_steps=num_steps,
    log_probs=RNG.normal(-6, 1, (B, D)).astype(np.float32),
    discount=np.full(B, 0.9, np.float32),
  )


def reference(params, batch):
  """Return log π, values, and the loss, of which targets are taken as given."""
  steps = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch.steps)
  log_probs, values = scored.reference_scores(params, steps)
  return log_probs.reshape(B, D), values.reshape(B, D)


@pytest.mark.parametrize(
  "kind, normalize",
  [
    ("reset", True),
    pytest.param("reset", False, marks=pytest.mark.slow),
    pytest.param("append", False, marks=pytest.mark.slow),
  ],
)
def test_loss_and_its_gradient(kind, normalize):
  what = dataclasses.replace(WHAT, normalize=normalize)
  batch = some_attempts(kind)
  run = unoptimized.jit(
    jax.value_and_grad(
      functools.partial(what.loss, fake_model.apply_fn), has_aux=True
    )
  )
  (loss, metrics), grads = run(scored.PARAMS, batch)
  exact = jax.tree.map(lambda x: np.asarray(x, np.float64), scored.PARAMS)
  log_probs, values = reference(exact, batch)
  there = np.arange(D) < batch.num_steps[:, None]
  ratios = np.exp(np.where(there, log_probs - batch.log_probs, 0))
  targets, judged = (
    np.asarray(x)
    for x in returns.vtrace(
      batch.rewards,
      values.astype(np.float32),
      ratios.astype(np.float32),
      batch.num_steps,
      discount=0.9,
      lambda_=0.8,
      most=1.2,
    )
  )

  if normalize:
    judged = (judged - judged[there].mean()) / (judged[there].std() + 1e-6)

  def expected(params):
    log_probs, values = reference(params, batch)
    mean = lambda x: x[there].mean()
    policy = -mean(judged * log_probs)
    return policy + 0.5 * mean((values - targets) ** 2)

  np.testing.assert_allclose(loss, expected(exact), rtol=1e-4)
  assert 0 < metrics["clip_fraction"] < 1
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
  batch = some_attempts("append")
  found = unoptimized.jit(functools.partial(WHAT.recall, fake_model.apply_fn))(
    scored.PARAMS, batch
  )
  log_probs, _ = reference(scored.PARAMS, batch)
  np.testing.assert_allclose(found.log_probs, log_probs, rtol=1e-4)
