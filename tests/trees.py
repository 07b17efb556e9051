"""Comparing pytrees."""

import jax
import numpy as np


def assert_near(a, b):
  """Raise unless floats are equal to 1e-5, and all else exactly."""
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.shape == y.shape
    if np.issubdtype(x.dtype, np.floating):
      np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    else:
      np.testing.assert_array_equal(x, y)
