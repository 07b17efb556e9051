"""Supervised learning of packed documents: the next token, where it counts."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from alphallm.learning import learner, losses


def next_token_loss(
  apply_fn: Callable[..., Any],
  params: Any,
  batch: Any,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Return −mean log p(target), over the targets of weight 1, and figures.

  Args:
    apply_fn: the network; it must know `documents`, as
      `PolicyValueTransformer` does.
    params: of it.
    batch: `initialization.packed.Batch`, `[B, C]` each.
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
  loss = losses.weighted_mean(every, batch.weights)
  right = jnp.argmax(logits, axis=-1) == batch.targets
  return loss, {
    "loss": loss,
    "accuracy": losses.weighted_mean(right.astype(jnp.float32), batch.weights),
    "learnt_tokens": jnp.sum(batch.weights),
    "filled": jnp.mean((batch.documents > 0).astype(jnp.float32)),
  }


def train_step(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  average: float,
  state: learner.TrainState,
  batch: Any,
) -> tuple[learner.TrainState, dict[str, chex.Array]]:
  """Take one step of the optimizer; `average` as in `learner.LearnerConfig`."""
  loss_fn = lambda params: next_token_loss(apply_fn, params, batch)
  (_, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
  state = learner.apply_gradients(tx, average, state, grads)
  return state, metrics | {"grad_norm": optax.tree.norm(grads)}
