"""Tests of int8 products."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import random_transformer

from alphallm import models

CONFIG = models.TransformerConfig(
  vocab_size=32, num_layers=2, embed_dim=32, num_heads=4, num_kv_heads=2,
  head_dim=8, mlp_dim=64,
)  # fmt: skip


def test_layers_multiply_in_int8():
  _, params = random_transformer.make(CONFIG, scale=0.3)
  model = models.PolicyValueTransformer(CONFIG)
  quantized, small = models.quantize(model, params)

  # A weight is kept to half a step of its channel; the rest stays.
  kept = small["params"]["layer_0"]["up"]["kernel"].array
  assert kept.qvalue.dtype == jnp.int8
  weight = params["params"]["layer_0"]["up"]["kernel"]
  step = np.abs(weight).max(axis=0, keepdims=True) / 127.5
  assert np.all(np.abs(kept.qvalue * kept.scale - weight) <= 0.501 * step)
  for name in "embed", "final_norm", "value_head":
    chex.assert_trees_all_equal(small["params"][name], params["params"][name])

  tokens = jax.random.randint(jax.random.key(0), (2, 1, 9), 0, 32)
  places = jnp.broadcast_to(jnp.arange(9), tokens.shape)
  exact = model.apply(params, tokens, places)
  found = quantized.apply(small, tokens, places)
  scale = jnp.std(exact.logits)
  error = jnp.abs(found.logits - exact.logits) / scale
  assert 1e-4 < jnp.max(error) < 0.2  # A hundredth is what 8 bits leave.
  assert jax.tree.structure(found) == jax.tree.structure(exact)
