"""Attention of token spans over the segments of a cache.

A span attends to itself and to segments that were computed before: the
prompt, the steps of its ancestors in a tree, its own earlier tokens. A segment
belongs to a problem and is then shared by all spans of it (no candidate copies
the prefix), or to one span alone.
"""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

_MASKED = -1e30

# Of every array of a segment the last axis but one counts its tokens. Keys and
# values have their heads before it, so that a product reads them as they lie.
TOKENS = -2

# Keys, rotated already, and values of one layer, `[..., G, C, head_dim]` each.
KeysValues = tuple[chex.Array, chex.Array]


@chex.dataclass(frozen=True)
class Segment:
  """Keys and values of tokens that later tokens attend to.

  Attributes:
    kv: per layer what the network hands on, here `KeysValues`: arrays
      `[B, G, C, head_dim]` (shared by the K spans of a problem) or
      `[B, K, G, C, head_dim]` (of one span each).
    mask: bool, `[B, 1 or K, 1 or S, C]`; ones = attended to.
  """

  kv: tuple[Any, ...]
  mask: chex.Array

  def layer(self, index: int) -> tuple[Any, chex.Array]:
    return self.kv[index], self.mask


def put(x: chex.Array, new: chex.Array, places: chex.Array) -> chex.Array:
  """Put tokens into a segment's array.

  Args:
    x: `[B, ..., C, n]`.
    new: `[B, ..., S, n]`.
    places: `[B, S]` int32, where each token goes; at C or beyond, nowhere.
  """
  one = lambda x, new, places: x.at[..., places, :].set(
    new.astype(x.dtype), mode="drop"
  )
  return jax.vmap(one)(x, new, places)


def rotate(x: chex.Array, cos_sin) -> chex.Array:
  """Rotate the two halves of each head, as Llama does. Shape `[..., H, hd]`."""
  cos, sin = cos_sin
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(
  queries: chex.Array,
  own_kv: KeysValues,
  segments: Sequence[tuple[KeysValues, chex.Array]],
  *,
  cap: float | None = None,
  window: int | None = None,
  documents: chex.Array | None = None,
) -> chex.Array:
  """Attend to the span itself, causally, and to the segments.

  Args:
    queries: `[B, K, S, H, head_dim]`.
    own_kv: `[B, K, G, S, head_dim]` each, H a multiple of G.
    segments: keys and values, and mask, of each segment, in one layer.
    cap: bounds the scores, by a tanh.
    window: how many tokens of the span a token sees, itself included; for the
      segments see `window.narrow`.
    documents: `[B, K, S]` int32, which text each token of the span is of; a
      token sees those of its own alone. `None`: all are of one.

  Returns:
    `[B, K, S, H, head_dim]`.
  """
  b, k, s, h, d = queries.shape
  g = own_kv[0].shape[-3]
  q = (queries * d**-0.5).reshape(b, k, s, g, h // g, d)
  q = jnp.moveaxis(q, 3, 1)
  causal = jnp.tril(jnp.ones((s, s), bool))
  if window is not None:
    causal &= ~jnp.tril(causal, -window)
  causal = causal[None, None]
  if documents is not None:
    causal &= documents[..., :, None] == documents[..., None, :]
  parts = [*segments, (own_kv, causal)]
  of = lambda x: "bkgcd" if x.ndim == 5 else "bgcd"

  scores = []
  for (keys, _), mask in parts:
    score = jnp.einsum(f"bgksrd,{of(keys)}->bgksrc", q, keys)
    score = score.astype(jnp.float32)
    if cap is not None:
      score = cap * jnp.tanh(score / cap)
    scores.append(jnp.where(mask[:, None, :, :, None], score, _MASKED))
  weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1)
  weights = weights.astype(queries.dtype)

  out, start = jnp.zeros((), queries.dtype), 0
  for (_, values), _ in parts:
    stop = start + values.shape[TOKENS]
    part = weights[..., start:stop]
    out = out + jnp.einsum(f"bgksrc,{of(values)}->bgksrd", part, values)
    start = stop
  return jnp.moveaxis(out, 1, 3).reshape(b, k, s, h, d)
