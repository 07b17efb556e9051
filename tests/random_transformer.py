"""A small transformer, and random parameters, none of them 0."""

import jax
import numpy as np

from alphallm.models import transformer


def shape(width: int, vocab_size: int, **options):
  """Return the config of one layer of two heads that share keys and values."""
  given = {
    "num_layers": 1,
    "embed_dim": width,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_dim": width // 2,
    "mlp_dim": width,
  }
  return transformer.TransformerConfig(
    vocab_size=vocab_size, **(given | options)
  )


def make(config, *, scale, seed=0):
  """Return `apply` and parameters of normal noise."""
  shapes = jax.eval_shape(
    lambda key: transformer.init_params(config, key), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda x: (scale * rng.normal(size=x.shape)).astype(x.dtype), shapes
  )
  return transformer.PolicyValueTransformer(config).apply, params
