"""Attention of token spans over the segments of a cache.

A span attends to itself and to segments that were computed before: the
prompt, the steps of its ancestors in a tree, its own earlier tokens. A segment
belongs to a problem and is then shared by all spans of it (no candidate copies
the prefix), or to one span alone.
"""

import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

_MASKED = -1e30
_LEAST_BLOCK, _MOST_BLOCKS = 128, 8  # tokens of a block; blocks of a span


@chex.dataclass(frozen=True)
class KeysValues:
  """Keys and values of one layer, each as the product that reads it wants it.

  A batch of products with keys whose tokens are not the last axis would turn
  them over at every step of a decoding.

  Attributes:
    keys: `[..., G, head_dim, C]`, rotated already.
    values: `[..., G, C, head_dim]`.
  """

  keys: chex.Array
  values: chex.Array


@chex.dataclass(frozen=True)
class Int8:
  """An array of whole numbers; see `alphallm.models.int8`.

  Attributes:
    numbers: int8, of the array's shape.
    scales: of its type and shape, but that each token of a head has one.
  """

  numbers: chex.Array
  scales: chex.Array


@chex.dataclass(frozen=True)
class Segment:
  """Keys and values of tokens that later tokens attend to.

  Attributes:
    kv: per layer what the network hands on, here `KeysValues`, with a lead of
      `[B]` (shared by the K spans of a problem) or `[B, K]` (of one span each).
    mask: bool, `[B, 1 or K, 1 or S, C]`; ones = attended to.
  """

  kv: tuple[Any, ...]
  mask: chex.Array

  def layer(self, index: int) -> tuple[Any, chex.Array]:
    return self.kv[index], self.mask


def token_axes(kv: Any) -> Any:
  """Return for each array of `kv` its axis that counts tokens, from the end.

  It is the last but one, except in keys; of scales it is the last.
  """

  def of(x):
    if isinstance(x, KeysValues):
      return KeysValues(keys=one(x.keys, -1), values=one(x.values, -2))
    return one(x, -2)

  def one(x, axis):
    return Int8(numbers=axis, scales=-1) if isinstance(x, Int8) else axis

  is_whole = lambda x: isinstance(x, KeysValues | Int8)
  return jax.tree.map(of, kv, is_leaf=is_whole)


def num_tokens(kv: Any) -> int:
  """Return C, for how many tokens there is room."""
  return jax.tree.leaves(kv)[0].shape[jax.tree.leaves(token_axes(kv))[0]]


def empty(
  kv_like: Any, room: int, *, between: tuple[int, ...] = (), dtype=None
) -> Any:
  """Return zeros like `kv_like`, `[B, ...]`, with room for other tokens.

  Args:
    kv_like: tells the shapes.
    room: for how many tokens.
    between: axes that stand behind the B.
    dtype: `None` for those of `kv_like`.
  """

  def one(axis, x):
    shape = list(x.shape)
    shape[axis] = room
    return jnp.zeros((shape[0], *between, *shape[1:]), dtype or x.dtype)

  return jax.tree.map(one, token_axes(kv_like), kv_like)


def put(kv: Any, new: Any, places: chex.Array) -> Any:
  """Put tokens into what a segment holds.

  Args:
    kv: `[B, ...]`, with room for C tokens.
    new: the same, of S tokens.
    places: `[B, S]` int32, where each token goes; at C or beyond, nowhere.
  """

  def one(axis, x, new):
    behind = (slice(None),) * (-1 - axis)
    write = lambda x, new, places: x.at[(..., places, *behind)].set(
      new.astype(x.dtype), mode="drop"
    )
    return jax.vmap(write)(x, new, places)

  return jax.tree.map(one, token_axes(kv), kv, new)


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

  The queries of long spans are taken in blocks, so that products with keys to
  the right of a block, which nobody in it sees, are never computed.

  Args:
    queries: `[B, K, S, H, head_dim]`.
    own_kv: `[B, K, ...]`, H a multiple of G.
    segments: keys and values, and mask, of each segment, in one layer.
    cap: bounds the scores, by a tanh.
    window: how many tokens of the span a token sees, itself included; for the
      segments see `window.narrow`.
    documents: `[B, K, S]` int32, which text each token of the span is of; a
      token sees those of its own alone. `None`: all are of one.

  Returns:
    `[B, K, S, H, head_dim]`.
  """
  size = queries.shape[2]
  block = max(_LEAST_BLOCK, -(-size // _MOST_BLOCKS))
  parts = []
  for start in range(0, size, block):
    stop = min(start + block, size)
    first = 0 if window is None else max(0, start + 1 - window)
    masks = [
      mask if mask.shape[2] == 1 else mask[:, :, start:stop]
      for _, mask in segments
    ]
    own = KeysValues(
      keys=own_kv.keys[..., first:stop],
      values=own_kv.values[..., first:stop, :],
    )
    mask = _causal(start, stop, first, window)
    if documents is not None:
      own_of, seen = documents[..., start:stop], documents[..., first:stop]
      mask &= own_of[..., :, None] == seen[..., None, :]
    here = queries[:, :, start:stop]
    if not segments:
      parts.append(_attend_alone(here, own, mask, cap))
      continue
    held = [kv for kv, _ in segments]
    pairs = [*zip(held, masks, strict=True), (own, mask)]
    parts.append(_attend(here, pairs, cap))
  return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=2)


def _causal(start: int, stop: int, first: int, window: int | None):
  """Return what tokens `start` to `stop` see of those from `first` on."""
  place = jnp.arange(start, stop)[:, None]
  seen = jnp.arange(first, stop)[None, :]
  mask = seen <= place
  if window is not None:
    mask &= place - seen < window
  return mask[None, None]


def _attend_alone(
  queries: chex.Array, own: KeysValues, mask: chex.Array, cap: float | None
) -> chex.Array:
  """Attend to one segment of each span, as `_attend` does.

  In as few axes as there can be: a CPU took half as long again over products
  and softmax with axes of one element among them, and turns over what it sums
  along two. Weights are divided by their sum behind the product.
  """
  b, k, s, h, d = queries.shape
  g, c = own.keys.shape[-3], own.keys.shape[-1]
  # Those of one key head are rows of one product.
  q = jnp.moveaxis((queries * d**-0.5).reshape(b * k, s, h, d), 1, 2)
  q = q.reshape(b * k, g, h // g * s, d)
  keys, values = (
    x.reshape(b * k, *x.shape[2:]) for x in (own.keys, own.values)
  )
  scores = jnp.einsum("ngsd,ngdc->ngsc", q, keys).reshape(b * k, h, s, c)
  scores = _masked(scores, mask.reshape(-1, 1, s, c), cap)
  (weights,), total = _weights([scores])
  weights = weights.astype(queries.dtype).reshape(b * k, g, h // g * s, c)
  out = jnp.einsum(
    "ngsc,ngcd->ngsd", weights, values, preferred_element_type=jnp.float32
  )
  out = (out.reshape(b * k, h, s, d) / total).astype(queries.dtype)
  return jnp.moveaxis(out, 2, 1).reshape(b, k, s, h, d)


def _attend(
  queries: chex.Array,
  parts: Sequence[tuple[KeysValues, chex.Array]],
  cap: float | None,
) -> chex.Array:
  """Attend to keys and values where their masks say so; see `attend`.

  The softmax is over all parts, which are nowhere put side by side: each has
  its share of the sum and of the result, divided at the end.
  """
  b, k, s, h, d = queries.shape
  g = parts[-1][0].keys.shape[-3]
  q = (queries * d**-0.5).reshape(b, k, s, g, h // g, d)
  q = jnp.moveaxis(q, 3, 1)
  lead = lambda x: "bkg" if x.ndim == 5 else "bg"

  scores = []
  for kv, mask in parts:
    score = jnp.einsum(f"bgksrd,{lead(kv.keys)}dc->bgksrc", q, kv.keys)
    scores.append(_masked(score, mask[:, None, :, :, None], cap))
  all_weights, total = _weights(scores)

  out = jnp.float32(0)
  for weights, (kv, _) in zip(all_weights, parts, strict=True):
    out += jnp.einsum(
      f"bgksrc,{lead(kv.values)}cd->bgksrd",
      weights.astype(queries.dtype),
      kv.values,
      preferred_element_type=jnp.float32,
    )
  out = (out / total).astype(queries.dtype)
  return jnp.moveaxis(out, 1, 3).reshape(b, k, s, h, d)


def _masked(scores: chex.Array, mask: chex.Array, cap: float | None):
  """Return scores in float32, within the cap, where the mask admits them."""
  scores = scores.astype(jnp.float32)
  if cap is not None:
    scores = cap * jnp.tanh(scores / cap)
  return jnp.where(mask, scores, _MASKED)


def _weights(scores: Sequence[chex.Array]):
  """Return weights of the softmax over all parts, and what divides them."""
  highest = [jnp.max(score, axis=-1, keepdims=True) for score in scores]
  highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, highest))
  weights = [jnp.exp(score - highest) for score in scores]
  total = sum(jnp.sum(w, axis=-1, keepdims=True) for w in weights)
  return weights, total
