"""Hashes of 32 bits that come out the same under NumPy and under JAX."""

import chex
import numpy as np

_ROUNDS = ((13, np.uint32(0x85EBCA6B)), (16, np.uint32(0xC2B2AE35)))


def mix(*values: chex.Array) -> chex.Array:
  """Hash unsigned integers, elementwise, their order counting.

  Args:
    *values: uint32 arrays (NumPy's or JAX's) of shapes that broadcast.

  Returns:
    uint32, of the broadcast shape.
  """
  with np.errstate(over="ignore"):
    hashed = np.uint32(0x9E3779B9)
    for value in values:
      hashed = (hashed ^ value) * np.uint32(0xCC9E2D51)
      for shift, factor in _ROUNDS:
        hashed = (hashed ^ (hashed >> np.uint32(shift))) * factor
    return hashed ^ (hashed >> np.uint32(15))


def in_test_split(hashed: chex.Array, *, percent: int = 10) -> chex.Array:
  """Return which hashes belong to the test split, `percent` of all."""
  return hashed % np.uint32(100) < np.uint32(percent)
