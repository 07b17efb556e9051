"""Sliding windows: layers that see the latest tokens of a context only."""

from collections.abc import Sequence

import jax.numpy as jnp

from alphallm.models import attention


def narrow(
  segments: Sequence[attention.Segment], length: int, window: int
) -> list[attention.Segment]:
  """Narrow the masks of segments to a window.

  Distances are counted in tokens that are attended to, so that padding and the
  tokens of other branches of a tree take no room in the window.

  Args:
    segments: in the order of the context.
    length: S, tokens of the span that attends to them.
    window: how many tokens a token sees, itself included.

  Returns:
    The segments; each token of the span sees the latest of their tokens only.
  """
  # How far behind a token of the span lies the end of the segment.
  distance = jnp.arange(1, length + 1)[None, None, :, None]
  narrowed = []
  for segment in reversed(segments):
    mask = segment.mask.astype(jnp.int32)
    total = jnp.sum(mask, axis=-1, keepdims=True)
    later = total - jnp.cumsum(mask, axis=-1)
    near = distance + later < window
    narrowed.append(segment.replace(mask=segment.mask & near))
    distance = distance + total
  return narrowed[::-1]
