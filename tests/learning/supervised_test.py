"""Tests of supervised learning: packed rows are what their documents are."""

import functools

import jax
import numpy as np
import optax
import pytest
import random_transformer

from alphallm.initialization import documents, packed
from alphallm.learning import learner, optimizer, supervised
from alphallm.models import transformer

CONFIG = transformer.TransformerConfig(
  vocab_size=16,
  num_layers=2,
  embed_dim=16,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
  local_layers=(1,),
  window=3,
)
SIZES = (5, 5, 7, 3)  # in two rows of 8 places


@pytest.fixture(scope="module")
def policy():
  apply_fn, params = random_transformer.make(CONFIG, scale=0.5)
  return apply_fn, params


def make_documents():
  rng = np.random.default_rng(0)
  return [
    documents.Document(
      tokens=rng.integers(1, 16, size).astype(np.int32),
      is_response=np.arange(size) >= 2,
    )
    for size in SIZES
  ]


class Source:
  def read(self, index):
    return make_documents()[index] if index < len(SIZES) else None


def batch_of():
  batch, place = next(packed.batches(Source(), batch_size=2, length=8))
  assert place.next >= len(SIZES) and not place.waiting
  return batch


def alone(apply_fn, params):
  """Return log-probabilities of documents, a row for each; NumPy, float64."""
  tokens = np.zeros((len(SIZES), 1, max(SIZES)), np.int32)
  for row, document in enumerate(make_documents()):
    tokens[row, 0, : len(document.tokens)] = document.tokens
  places = np.broadcast_to(np.arange(tokens.shape[-1]), tokens.shape)
  logits = jax.jit(apply_fn)(params, tokens, places).logits
  logits = np.asarray(logits, np.float64)[:, 0]
  shifted = logits - logits.max(-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_the_loss_is_that_of_each_document_alone(policy):
  apply_fn, params = policy
  log_probs = alone(apply_fn, params)
  wanted = [
    log_probs[row, place - 1, document.tokens[place]]
    for row, document in enumerate(make_documents())
    for place in range(2, len(document.tokens))
  ]
  loss, figures = jax.jit(
    lambda p, b: supervised.next_token_loss(apply_fn, p, b)
  )(params, batch_of())
  np.testing.assert_allclose(loss, -np.mean(wanted), rtol=1e-5)
  assert figures["learnt_tokens"] == len(wanted)
  np.testing.assert_allclose(figures["filled"], 1.0)


def test_no_token_sees_another_document(policy):
  """The logits of a document do not change with what else is in its row."""
  apply_fn, params = policy
  batch = batch_of()

  @jax.jit
  def of_row(tokens):
    return apply_fn(
      params,
      tokens[:, None],
      batch.positions[:, None],
      documents=batch.documents[:, None],
    ).logits[:, 0]

  first = batch.documents == 1
  changed = np.where(first, batch.tokens, (batch.tokens + 3) % 16)
  a, b = of_row(batch.tokens), of_row(changed)
  np.testing.assert_array_equal(a[first], b[first])
  assert not np.allclose(a[~first], b[~first])


def test_parts_of_a_batch_take_the_step_of_the_whole(policy):
  """Their rows hold different numbers of tokens that are learnt."""
  apply_fn, params = policy
  tx, batch = optax.sgd(0.1), batch_of()
  batch = batch.replace(weights=batch.weights * (batch.documents > [[0], [1]]))
  counts = batch.weights.sum(axis=1)
  assert counts[0] != counts[1] and counts.all()
  (whole, figures), (cut, others) = (
    jax.jit(functools.partial(supervised.train_step, apply_fn, tx, config))(
      learner.init(tx, params), batch
    )
    for config in (
      optimizer.OptimizerConfig(batch_size=2, accumulate=parts)
      for parts in (1, 2)
    )
  )
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  for name, value in figures.items():
    np.testing.assert_allclose(others[name], value, rtol=1e-4, err_msg=name)


def test_steps_learn_and_average(policy):
  apply_fn, params = policy
  tx = optax.sgd(0.1)
  state = learner.init(tx, params)
  config = optimizer.OptimizerConfig(batch_size=2, average=0.99)
  step = jax.jit(lambda s, b: supervised.train_step(apply_fn, tx, config, s, b))
  batch, losses = batch_of(), []
  for _ in range(20):
    before = state
    state, figures = step(state, batch)
    losses.append(float(figures["loss"]))
  assert losses[-1] < 0.7 * losses[0] and state.step == 20
  decay = min(0.99, 20 / 29)
  jax.tree.map(
    lambda new, old, p: np.testing.assert_allclose(
      new, decay * old + (1 - decay) * p, atol=1e-6
    ),
    state.average,
    before.average,
    state.params,
  )
