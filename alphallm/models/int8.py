"""Keys and values in eight bits, with a scale for each token of each head."""

from typing import Any

import jax
import jax.numpy as jnp

from alphallm.models import attention

_MOST = 127


def _is_packed(x: Any) -> bool:
  return isinstance(x, attention.Int8)


def is_packed(kv: Any) -> bool:
  """Return whether there is something in eight bits among `kv`."""
  return any(map(_is_packed, jax.tree.leaves(kv, is_leaf=_is_packed)))


def pack(kv: Any) -> Any:
  """Return keys and values in eight bits.

  The largest number of a token of a head becomes 127 or -127, so that none is
  off by more than a 254th of it, beside the rounding of its own type.

  Args:
    kv: what a segment holds. What is no floating-point number stays as it is.
  """

  def one(axis, x):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      return x
    wide, features = x.astype(jnp.float32), -3 - axis
    largest = jnp.max(jnp.abs(wide), axis=features, keepdims=True)
    scales = (largest / _MOST).astype(x.dtype)
    steps = jnp.where(scales > 0, scales, 1).astype(jnp.float32)
    numbers = jnp.clip(jnp.round(wide / steps), -_MOST, _MOST)
    return attention.Int8(
      numbers=numbers.astype(jnp.int8), scales=jnp.squeeze(scales, features)
    )

  return jax.tree.map(one, attention.token_axes(kv), kv)


def unpack(kv: Any) -> Any:
  """Return keys and values in the type that they had, nearly as they were."""

  def one(axis, x):
    if not _is_packed(x):
      return x
    scales = jnp.expand_dims(x.scales, -3 - axis.numbers)
    return x.numbers.astype(scales.dtype) * scales

  axes = attention.token_axes(kv)
  return jax.tree.map(one, axes, kv, is_leaf=_is_packed)
