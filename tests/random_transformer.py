"""A transformer with random parameters, none of them 0."""

import jax
import numpy as np

from alphallm.models import transformer


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
