"""How a network goes on with a text, its most probable tokens one by one."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention, network


def greedy(
  apply_fn: network.Network,
  params: Any,
  text: chex.Array,
  begin: chex.Array,
  count: int,
) -> chex.Array:
  """Return what is written behind a text, `[count]` int32.

  The text is passed once, and then a token at a time.

  Args:
    apply_fn: the network.
    params: of the network.
    text: `[L]` int32, padded.
    begin: `[]` int32, its tokens, from 1 to L.
    count: how many are written.
  """

  def read(output):
    """Return the next token, and keys and values of what was read."""
    token = jnp.argmax(output.logits[0, 0, 0]).astype(jnp.int32)
    return token, jax.tree.map(lambda x: x[:, 0], output.kv)

  def write(number, carry):
    written, token, kv = carry
    end = begin + number
    mask = jnp.arange(text.shape[0] + count) < end
    output = apply_fn(
      params,
      token[None, None, None],
      end[None, None, None],
      segments=[attention.Segment(kv=kv, mask=mask[None, None, None])],
    )
    after, new = read(output)
    kv = attention.put(kv, new, end[None, None])
    return written.at[number].set(token), after, kv

  padded = jnp.pad(text, (0, count))  # room for what is written
  places = jnp.arange(padded.shape[0])
  token, kv = read(
    apply_fn(
      params,
      padded[None, None],
      places[None, None],
      read=jnp.full((1, 1, 1), begin - 1),
    )
  )
  carry = jnp.zeros((count,), jnp.int32), token, kv
  written, token, _ = jax.lax.fori_loop(0, count - 1, write, carry)
  return written.at[count - 1].set(token)
