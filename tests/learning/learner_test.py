import dataclasses
import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import unoptimized
from scored import PARAMS, B, C, T, V, reference_scores, some_batch

from alphallm.learning import alphazero, learner, optimizer, replay, scoring
from alphallm.models import transformer

VALUE_AND_GRAD = unoptimized.jit(
  jax.value_and_grad(
    functools.partial(
      alphazero.alphazero_loss, fake_model.apply_fn, value_weight=0.5
    ),
    has_aux=True,
  )
)


def reference_loss(params, batch, value_weight=1.0):
  log_probs, v = reference_scores(params, batch)
  policy = -(batch.weights * log_probs).sum(-1)
  has_policy = batch.weights.sum(-1) > 0
  z = np.asarray(batch.values, np.float64)
  value = -z * np.log(v) - (1 - z) * np.log(1 - v)
  return policy[has_policy].mean() + value_weight * (
    (value * batch.mask).sum() / batch.mask.sum()
  )


def scores(apply_fn, params, batch):
  """Return the learner's log-probabilities and values."""

  def both(params, batch):
    *says, value_logits = scoring.predict(apply_fn, params, batch)
    return scoring.score(batch, *says), value_logits

  return unoptimized.jit(both)(params, batch)


@pytest.mark.parametrize("num_states", [1, 4])  # contexts reset, or append
def test_scores_equal_plain_passes(num_states):
  batch = some_batch(num_states)
  found, value_logits = scores(fake_model.apply_fn, PARAMS, batch)
  log_probs, values = reference_scores(PARAMS, batch)
  np.testing.assert_allclose(found, log_probs, rtol=2e-5, atol=2e-5)
  np.testing.assert_allclose(
    jax.nn.sigmoid(value_logits), values, rtol=1e-5, atol=1e-6
  )


def test_scores_of_one_token_steps():
  batch = some_batch()
  batch = batch.replace(
    candidates=batch.candidates[..., :1], lengths=np.ones_like(batch.lengths)
  )
  found, _ = scores(fake_model.apply_fn, PARAMS, batch)
  log_probs, _ = reference_scores(PARAMS, batch)
  np.testing.assert_allclose(found, log_probs, rtol=2e-5, atol=2e-5)


def test_scores_by_the_transformer():
  """Each candidate against a plain pass over its context and itself."""
  config = transformer.TransformerConfig(
    vocab_size=V,
    num_layers=2,
    embed_dim=16,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    mlp_dim=16,
  )
  apply_fn, params = random_transformer.make(config, scale=0.4)
  batch = some_batch()
  found, value_logits = scores(apply_fn, params, batch)
  rows, places = [], []
  for b, s, j in np.ndindex(*found.shape):
    end, step = batch.ends[b, s], batch.candidates[b, s, j]
    row = [*batch.context[b, :end], *step, *[0] * (C - end)]
    rows.append(row)
    places.append((end, int(batch.lengths[b, s, j])))
  tokens = np.array(rows, np.int32)[:, None]
  output = unoptimized.jit(apply_fn)(
    params, tokens, np.broadcast_to(np.arange(C + T), tokens.shape)
  )
  all_log_probs = np.asarray(jax.nn.log_softmax(output.logits[:, 0]))
  for i, (b, s, j) in enumerate(np.ndindex(*found.shape)):
    end, length = places[i]
    expected = sum(
      all_log_probs[i, end - 1 + t, tokens[i, 0, end + t]]
      for t in range(length)
    )
    np.testing.assert_allclose(found[b, s, j], expected, atol=1e-5)
    np.testing.assert_allclose(
      value_logits[b, s], output.value_logits[i, 0, end - 1], atol=1e-5
    )


def test_loss_and_its_gradient_against_numpy():
  batch = some_batch()
  (loss, metrics), grads = VALUE_AND_GRAD(PARAMS, batch)
  exact = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMS)
  expected = reference_loss(exact, batch, 0.5)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(
    metrics["policy_loss"] + 0.5 * metrics["value_loss"], loss, rtol=1e-6
  )
  _, values = reference_scores(exact, batch)
  error = ((values - batch.values) ** 2 * batch.mask).sum() / batch.mask.sum()
  np.testing.assert_allclose(metrics["value_error"], error, rtol=1e-5)
  np.testing.assert_allclose(metrics["policy_share"], 10 / 12, rtol=1e-6)
  rng, eps = np.random.default_rng(0), 1e-6
  for name in "value", "logits", "bias", "embed":
    size = np.abs(grads[name])
    seen = np.argwhere(size > 0)
    for place in rng.permutation(seen)[:6]:
      place = tuple(place)
      ends = []
      for sign in 1, -1:
        moved = {**exact, name: exact[name].copy()}
        moved[name][place] += sign * eps
        ends.append(reference_loss(moved, batch, 0.5))
      slope = (ends[0] - ends[1]) / (2 * eps)
      np.testing.assert_allclose(
        grads[name][place], slope, rtol=1e-3, atol=1e-5
      )


def reference_kl(params, reference, batch):
  """Return the mean of KL(π‖π_ref) over the candidates' tokens, in float64."""
  terms = []
  for b, s, j in np.ndindex(*batch.lengths.shape):
    if not batch.mask[b, s]:
      continue
    context = batch.context[b, : batch.ends[b, s]].tolist()
    for token in batch.candidates[b, s, j, : batch.lengths[b, s, j]]:
      log_p, log_q = (
        fake_model.reference(x, context)[0] for x in (params, reference)
      )
      terms.append(np.sum(np.exp(log_p) * (log_p - log_q)))
      context.append(token)
  return np.mean(terms)


def test_the_policy_is_held_to_a_reference():
  batch = some_batch()
  other = fake_model.init_params(V, seed=2, max_positions=C + T)
  loss_fn = functools.partial(
    alphazero.alphazero_loss, fake_model.apply_fn, kl_weight=0.3
  )
  held = unoptimized.jit(
    jax.value_and_grad(
      lambda p, q, batch: loss_fn(p, batch, reference=q),
      argnums=(0, 1),
      has_aux=True,
    )
  )
  (loss, metrics), (grads, to_reference) = held(PARAMS, other, batch)
  exact = [
    jax.tree.map(lambda x: np.asarray(x, np.float64), tree)
    for tree in (PARAMS, other)
  ]
  kl = reference_kl(*exact, batch)
  np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-5)
  whole = lambda p: (
    reference_loss(p, batch) + 0.3 * reference_kl(p, exact[1], batch)
  )
  np.testing.assert_allclose(loss, whole(exact[0]), rtol=1e-5)
  assert all(not np.any(x) for x in jax.tree.leaves(to_reference))
  place, eps = np.unravel_index(np.argmax(np.abs(grads["bias"])), (V, V)), 1e-6
  ends = []
  for sign in 1, -1:
    moved = {**exact[0], "bias": exact[0]["bias"].copy()}
    moved["bias"][place] += sign * eps
    ends.append(whole(moved))
  slope = (ends[0] - ends[1]) / (2 * eps)
  np.testing.assert_allclose(grads["bias"][place], slope, rtol=1e-3)
  (_, metrics), _ = held(PARAMS, PARAMS, batch)
  assert metrics["kl"] == 0


def test_nothing_is_learned_from_what_is_masked():
  batch = some_batch()
  nothing = batch.replace(
    weights=np.zeros_like(batch.weights), mask=np.zeros_like(batch.mask)
  )
  (loss, _), grads = VALUE_AND_GRAD(PARAMS, nothing)
  assert loss == 0
  assert all(not np.any(x) for x in jax.tree.leaves(grads))


OBJECTIVE = alphazero.AlphaZero()
CONFIG = learner.LearnerConfig(
  batch_size=B,
  learning_rate=0.05,
  warmup_steps=5,
  decay_steps=40,
  weight_decay=0.0,
  average=0.9,
)


def stepper(config=CONFIG):
  tx = optimizer.make_tx(config)
  step = functools.partial(
    learner.train_step, fake_model.apply_fn, tx, config, OBJECTIVE
  )
  return tx, unoptimized.jit(step)


def test_steps_lower_the_loss():
  """A bandit: at each state one candidate is to be preferred."""
  batch = some_batch()
  best = np.zeros_like(batch.weights)
  best[..., 1] = 1
  batch = batch.replace(
    weights=best, values=np.round(batch.values), mask=0 * batch.mask + 1
  )
  tx, step = stepper()
  state = learner.init(tx, jax.tree.map(jnp.asarray, PARAMS))
  history = []
  for _ in range(40):
    state, metrics = step(state, batch)
    history.append({name: float(x) for name, x in metrics.items()})
  assert history[-1]["loss"] < 0.3 * history[0]["loss"]
  assert history[-1]["value_error"] < 0.3 * history[0]["value_error"]
  assert state.step == 40
  before, _ = reference_scores(PARAMS, batch)
  after, _ = reference_scores(state.params, batch)
  assert np.all(after[..., 1] > before[..., 1])


def test_the_average_follows_the_parameters():
  tx, step = stepper()
  state = learner.init(tx, jax.tree.map(jnp.asarray, PARAMS))
  average = np.asarray(PARAMS["value"], np.float64)
  for i in range(12):
    state, _ = step(state, some_batch(seed=i))
    decay = min(0.9, (1 + i) / (10 + i))
    average = decay * average + (1 - decay) * np.asarray(state.params["value"])
  np.testing.assert_allclose(state.average["value"], average, rtol=1e-5)


def mirror(rng_key, context, candidates):
  """A symmetry for tests: tokens 1 and 2 change their roles, or do not."""
  swap = jax.random.bernoulli(rng_key)
  swapped = lambda x: jnp.where((x == 1) | (x == 2), 3 - x, x)
  return tuple(jnp.where(swap, swapped(x), x) for x in (context, candidates))


def test_a_round_is_steps_on_drawn_batches():
  tx, step = stepper()
  example = jax.tree.map(lambda x: x[0], some_batch())
  buffer = replay.init(example, 8)
  for seed in range(2):
    buffer = replay.add(buffer, some_batch(seed=seed), np.ones(B, bool))
  init = lambda: learner.init(tx, jax.tree.map(jnp.asarray, PARAMS))
  run = unoptimized.jit(
    functools.partial(
      learner.train_round,
      fake_model.apply_fn,
      tx,
      CONFIG,
      OBJECTIVE,
      augment=mirror,
    )
  )
  key = jax.random.key(3)
  found, metrics = run(init(), buffer, key, 3)
  state, sums = init(), []
  for i in range(3):
    batch_key, augment_key = jax.random.split(jax.random.fold_in(key, i))
    batch = replay.sample(buffer, batch_key, B)
    shown = [
      mirror(k, batch.context[j], batch.candidates[j])
      for j, k in enumerate(jax.random.split(augment_key, B))
    ]
    context, candidates = map(np.stack, zip(*shown, strict=True))
    batch = batch.replace(context=context, candidates=candidates)
    state, one = step(state, batch)
    sums.append(one)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  for name, value in metrics.items():
    expected = np.mean([one[name] for one in sums])
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
  # No steps: nothing changes.
  same, metrics = run(init(), buffer, key, 0)
  jax.tree.map(np.testing.assert_array_equal, same, init())
  assert all(x == 0 for x in metrics.values())


def test_the_weight_of_the_divergence_is_adapted():
  config = dataclasses.replace(CONFIG, kl_weight=0.3, kl_target=1e9)
  tx = optimizer.make_tx(config)
  buffer = replay.init(jax.tree.map(lambda x: x[0], some_batch()), 8)
  buffer = replay.add(buffer, some_batch(), np.ones(B, bool))
  params = jax.tree.map(jnp.asarray, PARAMS)
  other = fake_model.init_params(V, seed=2, max_positions=C + T)
  run = unoptimized.jit(
    functools.partial(
      learner.train_round, fake_model.apply_fn, tx, config, OBJECTIVE
    )
  )
  state = learner.init(tx, params, config.kl_weight)
  for steps, weight in (0, 0.3), (1, 0.15):
    after, metrics = run(
      state, buffer, jax.random.key(0), steps, reference=other
    )
    np.testing.assert_allclose(after.kl_weight, weight, rtol=1e-6)
    np.testing.assert_allclose(metrics["kl_weight"], 0.3, rtol=1e-6)


def test_bad_config():
  with pytest.raises(ValueError, match="learn_from='wins' is none of"):
    alphazero.AlphaZero(learn_from="wins")
