"""Text of variable length in arrays of static shape."""

import chex
import jax.numpy as jnp

from alphallm import tokenizer


def pack(tokens: chex.Array, keep: chex.Array) -> tuple[chex.Array, chex.Array]:
  """Move the kept tokens to the front and pad the rest.

  Args:
    tokens: `[C]` int32.
    keep: `[C]` bool.

  Returns:
    The packed tokens `[C]` and how many they are `[]`.
  """
  length = tokens.shape[-1]
  places = jnp.where(keep, jnp.cumsum(keep) - 1, length)
  packed = jnp.full_like(tokens, tokenizer.PAD_ID)
  return packed.at[places].set(tokens, mode="drop"), jnp.sum(keep)
