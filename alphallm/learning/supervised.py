"""Supervised learning of packed documents: the next token, where it counts."""

from collections.abc import Callable
from typing import Any

import chex
import jax.numpy as jnp
import optax

from alphallm.learning import learner, optimizer


def next_token_loss(
  apply_fn: Callable[..., Any],
  params: Any,
  batch: Any,
  total: chex.Numeric | None = None,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Return −mean log p(target), over the targets of weight 1, and figures.

  Args:
    apply_fn: the network; it must know `documents`, as
      `PolicyValueTransformer` does.
    params: of it.
    batch: `initialization.packed.Batch`, `[B, C]` each.
    total: what sums are divided by; `None`: how many targets have weight 1.
  """
  one_span = lambda x: x[:, None]
  output = apply_fn(
    params,
    one_span(batch.tokens),
    one_span(batch.positions),
    documents=one_span(batch.documents),
  )
  logits = output.logits[:, 0]
  every = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
  right = jnp.argmax(logits, axis=-1) == batch.targets
  count = jnp.sum(batch.weights)
  total = jnp.maximum(count, 1.0) if total is None else total
  loss = jnp.sum(every * batch.weights) / total
  return loss, {
    "loss": loss,
    "accuracy": jnp.sum(right * batch.weights) / total,
    "learnt_tokens": count,
    "filled": jnp.mean((batch.documents > 0).astype(jnp.float32)),
  }


def train_step(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  config: optimizer.OptimizerConfig,
  state: learner.TrainState,
  batch: Any,
) -> tuple[learner.TrainState, dict[str, chex.Array]]:
  """Take one step of the optimizer.

  The gradient is that of the whole batch, in however many parts it is passed.
  """
  count = jnp.sum(batch.weights)
  of_part = jnp.maximum(count, 1.0) / config.accumulate
  loss_fn = lambda params, part: next_token_loss(
    apply_fn, params, part, total=of_part
  )
  (_, metrics), grads = learner.gradients(
    loss_fn, state.params, batch, config.accumulate
  )
  state = learner.apply_gradients(tx, config.average, state, grads)
  return state, metrics | {
    "learnt_tokens": count,
    "grad_norm": optax.tree.norm(grads),
  }
