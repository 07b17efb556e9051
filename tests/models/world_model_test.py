"""What a world model reads, and what it foresees in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.models import transformer, world_model

SIZE, T, V = 5, 3, 11
CONFIG = transformer.TransformerConfig(
  vocab_size=V,
  num_layers=2,
  embed_dim=16,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
)
MODEL = world_model.WorldModel(CONFIG, SIZE)


@pytest.fixture(scope="module")
def params():
  made = world_model.init_params(MODEL, jax.random.key(0))
  # None of them 0, and none small.
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape), made)


def given(seed=0):
  rng = np.random.default_rng(seed)
  return (
    rng.normal(size=(2, SIZE, 16)).astype(np.float32),
    np.array([3, 5]),
    rng.integers(1, V, (2, T)),
    np.array([2, 3]),
  )


def test_padding_is_not_read(params):
  state, lengths, steps, step_lengths = given()
  apply = jax.jit(MODEL.apply)
  seen = apply(params, state, lengths, steps, step_lengths)
  state[0, 3:], steps[0, 2:] = 7.0, 4
  again = apply(params, state, lengths, steps, step_lengths)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), seen, again
  )
  for change in (lambda: state.__setitem__((0, 2), 0.0), lambda: steps.fill(2)):
    change()
    changed = apply(params, state, lengths, steps, step_lengths)
    for x, y in zip(*map(jax.tree.leaves, (again, changed)), strict=True):
      assert np.all(np.any(np.reshape(x != y, (2, -1)), axis=1)[:1])


def test_an_embedding_is_a_mixture_of_rows():
  rng = np.random.default_rng(1)
  logits, table = rng.normal(size=(2, SIZE, V)), rng.normal(size=(V, 16))
  zeros = jnp.zeros(2)
  seen = world_model.Foresight(
    tokens=jnp.asarray(logits),
    length=jnp.eye(SIZE)[jnp.array([0, 4])],
    legal=zeros,
    over=zeros,
    reward=zeros,
  )
  share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  np.testing.assert_allclose(seen.embedding(table), share @ table, rtol=1e-4)
  np.testing.assert_array_equal(seen.num_tokens, [1, 5])


def test_it_begins_with_the_layers_of_the_policy():
  policy = transformer.init_params(CONFIG, jax.random.key(1))
  made = world_model.init_params(MODEL, jax.random.key(2), policy)["params"]
  for name in ("embed", "layer_0", "layer_1", "final_norm"):
    jax.tree.map(
      np.testing.assert_array_equal, made[name], policy["params"][name]
    )
  own = world_model.init_params(MODEL, jax.random.key(2))["params"]
  assert set(own) == set(made) and "value_head" not in made
  np.testing.assert_array_equal(own["queries"], made["queries"])


def test_a_policy_reads_embeddings_as_it_reads_text():
  apply = transformer.PolicyValueTransformer(CONFIG).apply
  policy = transformer.init_params(CONFIG, jax.random.key(1))
  tokens = np.random.default_rng(2).integers(0, V, (2, 3, 4))
  places = jnp.broadcast_to(jnp.arange(4), tokens.shape)
  rows = transformer.embeddings(policy)[tokens]
  said = jax.jit(apply)(policy, tokens, places)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
    said,
    jax.jit(apply)(policy, rows, places),
  )
