"""How a network goes on with a text, its most probable tokens one by one."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention, network
from alphallm.search import candidates


def greedy(
  apply_fn: network.Network,
  params: Any,
  text: chex.Array,
  begin: chex.Array,
  count: int,
) -> chex.Array:
  """Return what is written behind a text, `[count]` int32.

  Args:
    apply_fn: the network.
    params: of the network.
    text: `[L]` int32, padded.
    begin: `[]` int32, its tokens, from 1 to L.
    count: how many are written.
  """
  places = jnp.arange(text.shape[0])
  output = apply_fn(
    params,
    text[None, None],
    places[None, None],
    read=jnp.full((1, 1, 1), begin - 1),
  )
  past = attention.Segment(
    kv=jax.tree.map(lambda x: x[:, 0], output.kv),
    mask=(places < begin)[None, None, None],
  )
  written, _ = candidates.sample(
    apply_fn,
    params,
    jax.random.key(0)[None],  # nothing is drawn
    output.logits[:, 0, 0],
    begin[None],
    [past],
    num_candidates=1,
    max_step_tokens=count,
    stop_ids=(),
    noise=False,
  )
  return written.tokens[0, 0]
