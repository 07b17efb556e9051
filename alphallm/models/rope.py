"""Rotary positions (RoPE; Su et al., 2021), and how they reach further.

A model that was trained on short contexts reads longer ones when its slow
frequencies are made slower. A scaling is a function of the frequencies.
"""

import dataclasses
from collections.abc import Callable

import chex
import jax.numpy as jnp
import numpy as np

Scaling = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Linear:
  """All frequencies divided by one factor (Chen et al., 2023)."""

  factor: float

  def __call__(self, frequencies: np.ndarray) -> np.ndarray:
    return frequencies / self.factor


@dataclasses.dataclass(frozen=True)
class Llama3:
  """The scaling of Llama 3.1: fast frequencies stay as they are.

  Those that turn less than `low` times in the original context are divided by
  the factor, those that turn more than `high` times are kept; between the two
  it is linear in the number of turns.
  """

  factor: float
  low: float = 1.0
  high: float = 4.0
  original_context: int = 8192

  def __post_init__(self):
    if self.low >= self.high:
      raise ValueError(f"low={self.low} is not below high={self.high}")

  def __call__(self, frequencies: np.ndarray) -> np.ndarray:
    turns = self.original_context * frequencies / (2 * np.pi)
    kept = np.clip((turns - self.low) / (self.high - self.low), 0, 1)
    return (1 - kept) * frequencies / self.factor + kept * frequencies


def rotation(
  positions: chex.Array,
  head_dim: int,
  theta: float,
  scaling: Scaling | None = None,
) -> tuple[chex.Array, chex.Array]:
  """Return cosine and sine `[..., 1, head_dim/2]` of the angles.

  Args:
    positions: `[...]` int32.
    head_dim: even.
    theta: the pairs of a head turn by theta^(-2i/head_dim) per position.
    scaling: changes these frequencies.
  """
  frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
  if scaling is not None:
    frequencies = scaling(frequencies)
  frequencies = jnp.asarray(frequencies, jnp.float32)
  frequencies = jnp.expand_dims(frequencies, range(positions.ndim + 1))
  angles = positions[..., None, None].astype(jnp.float32) * frequencies
  return jnp.cos(angles), jnp.sin(angles)
