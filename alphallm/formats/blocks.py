"""Blocks of numbers of few bits that share a scale, as GGML packs them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def decode(encoding: str, data: np.ndarray) -> np.ndarray:
  """Return the numbers, float32 `[n]`, of whole blocks.

  Args:
    encoding: one of `KINDS`.
    data: uint8, a multiple of the bytes of a block.
  """
  kind = KINDS[encoding]
  with np.errstate(all="ignore"):  # a scale may be infinite or not a number
    return kind.decode(data.reshape(-1, kind.bytes)).reshape(-1)


def _half(block, start):
  """Return a float16 of each block as float32 `[n, 1]`."""
  return block[:, start : start + 2].copy().view("<f2").astype(np.float32)


def _nibbles(packed):
  """Return the low halves of the bytes, then the high ones, along axis -1."""
  return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _q4_0(block):
  """d (q - 8)."""
  q = _nibbles(block[:, 2:]).astype(np.float32)
  return (q - 8) * _half(block, 0)


def _q4_1(block):
  """d q + m."""
  q = _nibbles(block[:, 4:]).astype(np.float32)
  return q * _half(block, 0) + _half(block, 2)


def _q8_0(block):
  """d q, q of 8 bits and signed."""
  return block[:, 2:].view(np.int8).astype(np.float32) * _half(block, 0)


def _q4_k(block):
  """d s q - m t: 8 runs of 32, each with s and t of 6 bits."""
  first, second, high = np.split(block[:, 4:16], 3, axis=1)
  s = np.concatenate([first & 63, (high & 15) | (first >> 2 & 48)], axis=1)
  t = np.concatenate([second & 63, (high >> 4) | (second >> 2 & 48)], axis=1)
  s, t = s * _half(block, 0), t * _half(block, 2)
  q = _nibbles(block[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
  return s[:, :, None] * q - t[:, :, None]


def _q6_k(block):
  """d s (q - 32): 16 runs of 16, each with s of 8 bits and signed."""
  s = block[:, 192:208].view(np.int8) * _half(block, 208)
  low = block[:, :128].reshape(-1, 2, 64)
  high = block[:, 128:192].reshape(-1, 2, 1, 32)
  high = high >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
  q = _nibbles(low).reshape(-1, 2, 4, 32) | high << 4
  q = q.reshape(-1, 16, 16).astype(np.float32) - 32
  return s[:, :, None] * q


class Kind(NamedTuple):
  """How many numbers a block has, in how many bytes."""

  numbers: int
  bytes: int
  decode: Callable[[np.ndarray], np.ndarray]


KINDS = {
  "Q4_0": Kind(32, 18, _q4_0),
  "Q4_1": Kind(32, 20, _q4_1),
  "Q8_0": Kind(32, 34, _q8_0),
  "Q4_K": Kind(256, 144, _q4_k),
  "Q6_K": Kind(256, 210, _q6_k),
}
