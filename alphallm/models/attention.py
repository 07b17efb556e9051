"""Attention of token spans over the segments of a cache.

A span attends to itself and to segments that were computed before: the
prompt, the steps of its ancestors in a tree, its own earlier tokens. A segment
belongs to a problem and is then shared by all spans of it (no candidate copies
the prefix), or to one span alone.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

_MASKED = -1e30


@chex.dataclass(frozen=True)
class Segment:
  """Keys and values of tokens that later tokens attend to.

  Attributes:
    kv: per layer `[B, C, 2, G, head_dim]` (shared by the K spans of a problem)
      or `[B, K, C, 2, G, head_dim]` (of one span each); the axis of length 2
      holds keys, rotated already, and values.
    mask: bool, `[B, 1 or K, 1 or S, C]`; ones = attended to.
  """

  kv: tuple[chex.Array, ...]
  mask: chex.Array

  def layer(self, index: int) -> tuple[chex.Array, chex.Array]:
    return self.kv[index], self.mask


def rotate(x: chex.Array, cos_sin) -> chex.Array:
  """Rotate the two halves of each head, as Llama does. Shape `[..., H, hd]`."""
  cos, sin = cos_sin
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(
  queries: chex.Array,
  own_kv: chex.Array,
  segments: Sequence[tuple[chex.Array, chex.Array]],
  *,
  cap: float | None = None,
  window: int | None = None,
) -> chex.Array:
  """Attend to the span itself, causally, and to the segments.

  Args:
    queries: `[B, K, S, H, head_dim]`.
    own_kv: `[B, K, S, 2, G, head_dim]`, H a multiple of G.
    segments: `(kv, mask)` of each segment, in one layer.
    cap: bounds the scores, by a tanh.
    window: how many tokens of the span a token sees, itself included; for the
      segments see `window.narrow`.

  Returns:
    `[B, K, S, H, head_dim]`.
  """
  b, k, s, h, d = queries.shape
  g = own_kv.shape[-2]
  q = (queries * d**-0.5).reshape(b, k, s, g, h // g, d)
  causal = jnp.tril(jnp.ones((s, s), bool))
  if window is not None:
    causal &= ~jnp.tril(causal, -window)
  causal = causal[None, None]
  parts = [*segments, (own_kv, causal)]

  scores = []
  for kv, mask in parts:
    keys = kv[..., 0, :, :]
    letters = "bkcgd" if keys.ndim == 5 else "bcgd"
    score = jnp.einsum(f"bksgrd,{letters}->bkgrsc", q, keys)
    score = score.astype(jnp.float32)
    if cap is not None:
      score = cap * jnp.tanh(score / cap)
    scores.append(jnp.where(mask[:, :, None, None], score, _MASKED))
  weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1)
  weights = weights.astype(queries.dtype)

  out, start = jnp.zeros((), queries.dtype), 0
  for kv, _ in parts:
    values = kv[..., 1, :, :]
    letters = "bkcgd" if values.ndim == 5 else "bcgd"
    stop = start + values.shape[-3]
    out = out + jnp.einsum(
      f"bkgrsc,{letters}->bksgrd", weights[..., start:stop], values
    )
    start = stop
  return out.reshape(b, k, s, h, d)
