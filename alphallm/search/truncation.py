"""Cutting the tail off a distribution over tokens before it is sampled from."""

import dataclasses

import chex
import jax
import jax.numpy as jnp

# Log-probability of what cannot be chosen; finite, so that sums stay numbers.
IMPOSSIBLE = -1e9


@dataclasses.dataclass(frozen=True)
class Truncation:
  """Which tokens may be sampled; each rule sees what those before it kept.

  Attributes:
    top_k: the k most probable; 0: all.
    top_p: the fewest whose probabilities add up to p (nucleus sampling,
      Holtzman et al., 2020); 1: all.
    min_p: those at least p times as probable as the most probable (Nguyen et
      al., 2024); 0: all.
  """

  top_k: int = 0
  top_p: float = 1.0
  min_p: float = 0.0

  def __post_init__(self):
    if self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
      raise ValueError(
        f"top_k={self.top_k}, top_p={self.top_p}, min_p={self.min_p}: top_k "
        "must be at least 0, top_p in (0, 1], min_p in [0, 1]"
      )


NO_TRUNCATION = Truncation()


def log_probs(logits: chex.Array, truncation: Truncation) -> chex.Array:
  """Return exact log-probabilities of what is left, `[..., V]`.

  What is cut off gets `IMPOSSIBLE`. Equal logits are kept or cut together.

  Args:
    logits: `[..., V]`, divided by the temperature.
    truncation: what to keep.
  """
  vocab = logits.shape[-1]
  if 0 < truncation.top_k < vocab:
    least = jax.lax.top_k(logits, truncation.top_k)[0][..., -1:]
    logits = jnp.where(logits < least, IMPOSSIBLE, logits)
  if truncation.top_p < 1:
    falling = -jnp.sort(-logits, axis=-1)
    probs = jax.nn.softmax(falling, axis=-1)
    before = jnp.cumsum(probs, axis=-1) - probs
    kept = jnp.where(before < truncation.top_p, falling, jnp.inf)
    least = jnp.min(kept, axis=-1, keepdims=True)
    logits = jnp.where(logits < least, IMPOSSIBLE, logits)
  if truncation.min_p > 0:
    most = jnp.max(logits, axis=-1, keepdims=True)
    least = most + jnp.log(truncation.min_p)
    logits = jnp.where(logits < least, IMPOSSIBLE, logits)
  kept = jax.nn.log_softmax(logits, axis=-1)
  return jnp.where(logits <= IMPOSSIBLE / 2, IMPOSSIBLE, kept)
