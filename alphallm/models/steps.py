"""What a network says of steps that were written: each behind its own state."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention, network


def read(
  apply_fn: network.Network,
  params: Any,
  context: chex.Array,
  ends: chex.Array,
  steps: chex.Array,
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Return the logits of every token of steps at the states of a context.

  The context is passed once; every step attends to as much of it as its state
  had read.

  Args:
    apply_fn: the network.
    params: of the network.
    context: `[B, C]` int32.
    ends: `[B, S]` int32, tokens of it that each state has read, at least 1.
    steps: `[B, S, J, T]` int32, J steps at each state.

  Returns:
    Logits of a step's first token, `[B, S, V]`, which is the same for all J,
    and of those behind it, `[B, S, J, T - 1, V]`; value logits of the states,
    `[B, S]`.
  """
  b, s, j, t = steps.shape
  c = context.shape[-1]
  places = jnp.broadcast_to(jnp.arange(c)[None, None], (b, 1, c))
  prefix = apply_fn(params, context[:, None], places, read=(ends - 1)[:, None])
  first, value_logits = prefix.logits[:, 0], prefix.value_logits[:, 0]
  if t == 1:
    rest = jnp.zeros((b, s, j, 0, first.shape[-1]), first.dtype)
    return first, rest, value_logits
  ends = jnp.repeat(ends, j, axis=1)
  seen = jnp.arange(c)[None, None] < ends[..., None]
  output = apply_fn(
    params,
    steps.reshape(b, s * j, t)[..., :-1],
    ends[..., None] + jnp.arange(t - 1)[None, None],
    segments=[
      attention.Segment(
        kv=jax.tree.map(lambda x: x[:, 0], prefix.kv), mask=seen[:, :, None]
      )
    ],
  )
  return first, output.logits.reshape(b, s, j, t - 1, -1), value_logits
