"""What one would write on mctx alone: no pages, so recompute or a whole cache.

Both search the same tree as `alphallm.search` does, through
`mctx.gumbel_muzero_policy`, for free text whose candidates are not noisy.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm.models import attention
from alphallm.search import candidates


@chex.dataclass(frozen=True)
class Node:
  """The embedding of a node.

  Attributes:
    context: `[C]`, all tokens that lead here (recompute) or `[0]` (cache).
    length: `[]`, of the context.
    tokens: `[K, T]`, the candidates.
    cache: per layer `[G, C, head_dim]` twice, of the context; or ().
  """

  context: chex.Array
  length: chex.Array
  tokens: chex.Array
  cache: tuple[chex.Array, ...]


def steps_of(apply_fn, params, logits, length, segment, task, k):
  """Return the K most probable steps of a beam search."""
  keys = jax.random.split(jax.random.key(0), length.shape[0])  # not used
  steps, _ = candidates.sample(
    apply_fn,
    params,
    keys,
    logits,
    length,
    [segment],
    num_candidates=k,
    max_step_tokens=task.max_step_tokens,
    stop_ids=task.stop_ids,
    noise=False,
  )
  return steps


def passed(apply_fn, params, context, length):
  """Pass over whole contexts; return the output at their ends and a segment."""
  places = jnp.broadcast_to(jnp.arange(context.shape[1])[None], context.shape)
  output = apply_fn(
    params, context[:, None], places[:, None], read=(length - 1)[:, None, None]
  )
  mask = (places < length[:, None])[:, None, None]
  kv = jax.tree.map(lambda x: x[:, 0], output.kv)
  return output, attention.Segment(kv=kv, mask=mask)


def _made(output, steps, node):
  value = jax.nn.sigmoid(output.value_logits[:, 0, 0])
  recurrent = mctx.RecurrentFnOutput(
    reward=jnp.zeros_like(value),
    discount=jnp.full_like(value, 0.97),
    prior_logits=steps.log_probs,
    value=value,
  )
  return recurrent, node.replace(tokens=steps.tokens)


def _written(x, new, start):
  """Write `new`, `[B, T, ...]`, into `x`, `[B, C, ...]`, from `start`."""
  rows = jnp.arange(x.shape[0])[:, None]
  places = start[:, None] + jnp.arange(new.shape[1])[None]
  return x.at[rows, places].set(new, mode="drop")


def search(
  apply_fn, task, params, context, length, *, num_simulations, k, cached
) -> mctx.PolicyOutput:
  """Search one move of B texts.

  Args:
    apply_fn: the network.
    task: free text, of spans of T tokens.
    params: of the network.
    context: `[B, C]` int32, with room for the tokens that the search adds.
    length: `[B]` int32.
    num_simulations: N.
    k: candidates of a node.
    cached: whether a node holds the cache of its whole context; else its tokens
      are passed again.
  """

  def recurrent(params: Any, rng_key, action, node: Node):
    del rng_key
    rows = jnp.arange(action.shape[0])
    step = node.tokens[rows, action]
    whole = node.length + step.shape[1]
    if not cached:
      grown = _written(node.context, step, node.length)
      output, segment = passed(apply_fn, params, grown, whole)
      node = node.replace(context=grown, length=whole)
    else:
      size = attention.num_tokens(node.cache)
      mask = jnp.arange(size)[None] < node.length[:, None]
      held = attention.Segment(kv=node.cache, mask=mask[:, None, None])
      places = node.length[:, None] + jnp.arange(step.shape[1])[None]
      output = apply_fn(
        params,
        step[:, None],
        places[:, None],
        segments=[held],
        read=jnp.full((len(rows), 1, 1), step.shape[1] - 1),
      )
      new = jax.tree.map(lambda x: x[:, 0], output.kv)
      cache = attention.put(node.cache, new, places)
      mask = jnp.arange(size)[None] < whole[:, None]
      segment = attention.Segment(kv=cache, mask=mask[:, None, None])
      node = node.replace(cache=cache, length=whole)
    steps = steps_of(
      apply_fn, params, output.logits[:, 0, 0], whole, segment, task, k
    )
    return _made(output, steps, node)

  output, segment = passed(apply_fn, params, context, length)
  steps = steps_of(
    apply_fn, params, output.logits[:, 0, 0], length, segment, task, k
  )
  made, node = _made(
    output,
    steps,
    Node(
      context=context[:, : 0 if cached else None],
      length=length,
      tokens=steps.tokens,
      cache=segment.kv if cached else (),
    ),
  )
  return mctx.gumbel_muzero_policy(
    params,
    jax.random.key(0),
    mctx.RootFnOutput(
      prior_logits=made.prior_logits, value=made.value, embedding=node
    ),
    recurrent,
    num_simulations=num_simulations,
    max_depth=task.max_steps,
    max_num_considered_actions=k,
    gumbel_scale=0.0,
  )
