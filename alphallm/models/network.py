"""What a search asks of a network, and how any network can answer."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import chex
import jax.numpy as jnp

from alphallm.models import attention


@chex.dataclass(frozen=True)
class Output:
  """What the network says of a batch of token spans.

  Attributes:
    logits: `[B, K, R, V]` float32, of the next token, at the places read.
    value_logits: `[B, K, R]` float32; their sigmoid is the value, in [0, 1].
    kv: per layer what later tokens need of the span, to be put into a segment
      of a later call: `attention.KeysValues`, or arrays `[B, K, ..., S, n]`.
  """

  logits: chex.Array
  value_logits: chex.Array
  kv: tuple[Any, ...]


class Network(Protocol):
  """The `apply_fn` of a search.

  `PolicyValueTransformer.apply` is one; `without_cache` makes one of any
  function from tokens to logits.
  """

  def __call__(
    self,
    params: Any,
    tokens: chex.Array,
    positions: chex.Array,
    *,
    segments: Sequence[attention.Segment] = (),
    read: chex.Array | None = None,
  ) -> Output:
    """Pass over K spans of length S for each of B problems.

    A span attends to itself, causally, and to the segments. The first segment
    of a call is shared by the K spans of a problem.

    Args:
      params: of the network, a pytree.
      tokens: `[B, K, S]` int32. Padding stands at the right end only. A network
        whose world is embedded (`tasks.Embedded`) takes embeddings, too,
        `[B, K, S, E]`.
      positions: `[B, K, S]` int32, place of each token in its own context.
      segments: what earlier calls returned as `kv`, in the order of the
        context; see `attention.Segment`.
      read: `[B, K, R]` int32, at which of the S tokens logits and values are
        wanted; `None`: at all.
    """


def without_cache(forward: Callable[[Any, chex.Array], Any]) -> Network:
  """Make the `apply_fn` of a causal network that has no cache of its own.

  What it hands on as `kv` are the tokens and their places. Each call puts the
  whole text of a span together again and passes it from its first token: right
  for any network, and as slow as a recompute of the prefix must be.

  Args:
    forward: `(params, tokens [n, C]) -> logits [n, C, V]`, or a tuple of those
      and value logits `[n, C]`. A token may not see those to its right. Without
      value logits the value is 1/2 everywhere.
  """

  def apply_fn(params, tokens, positions, *, segments=(), read=None):
    b, k, s = tokens.shape
    own = jnp.stack([tokens, positions], axis=-1)
    parts = [(own, jnp.ones((b, k, s), bool))]
    for segment in segments:
      (held,) = segment.kv
      if held.ndim == 3:  # [B, C, 2], shared by the spans of a problem
        held = held[:, None]
      size = held.shape[2]
      mask = segment.mask[:, :, 0]  # the same for all tokens of a span
      parts.append(
        (
          jnp.broadcast_to(held, (b, k, size, 2)),
          jnp.broadcast_to(mask, (b, k, size)),
        )
      )
    held = jnp.concatenate([part for part, _ in parts], axis=2)
    mask = jnp.concatenate([mask for _, mask in parts], axis=2)
    held, mask = held.reshape(b * k, -1, 2), mask.reshape(b * k, -1)
    rows, size = jnp.arange(b * k)[:, None], held.shape[1]
    place = jnp.where(mask, held[..., 1], size)
    text = jnp.zeros((b * k, size), tokens.dtype)
    text = text.at[rows, place].set(held[..., 0], mode="drop")

    output = forward(params, text)
    logits, values = output if isinstance(output, tuple) else (output, None)
    if values is None:
      values = jnp.zeros(logits.shape[:2])
    if read is None:
      wanted = positions
    else:
      wanted = jnp.take_along_axis(positions, read, axis=2)
    wanted = wanted.reshape(b * k, -1)
    at = lambda x: x[rows, wanted].reshape(b, k, -1, *x.shape[2:])
    return Output(
      logits=at(logits).astype(jnp.float32),
      value_logits=at(values).astype(jnp.float32),
      kv=(own,),
    )

  return apply_fn
