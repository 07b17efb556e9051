"""How the context of the policy grows: by appending, or by resetting."""

from typing import Any

import chex
import jax.numpy as jnp

from alphallm import types
from alphallm.tasks import base, packing


def size(task: base.Task) -> int:
  """Return C, the most tokens that the policy reads at a state of `task`."""
  if task.context == "reset":
    return task.max_observation_tokens
  grown = task.max_step_tokens + task.max_observation_tokens
  return task.max_prompt_tokens + task.max_steps * grown


def initial(task: base.Task, problem: Any) -> types.Context:
  """Return the context in which one problem begins."""
  tokens, length = task.prompt(problem)
  padding = size(task) - tokens.shape[0]
  return types.Context(
    tokens=jnp.pad(tokens, (0, max(padding, 0)))[: size(task)],
    lengths=length,
  )


def added(
  task: base.Task,
  state: types.State,
  tokens: chex.Array,
  length: chex.Array,
  *,
  sees_observation: bool = True,
) -> types.Context:
  """Return the tokens that a step and its answer add (for one problem).

  Args:
    task: the environment.
    state: after the step.
    tokens: `[T]`, the step.
    length: `[]`, its length.
    sees_observation: whether the answer follows the step.
  """
  if task.context == "reset":
    return types.Context(
      tokens=state.observation, lengths=state.observation_length
    )
  held = jnp.arange(tokens.shape[0]) < length
  if sees_observation:
    answer = jnp.arange(state.observation.shape[0]) < state.observation_length
    tokens = jnp.concatenate([tokens, state.observation])
    held = jnp.concatenate([held, answer])
  tokens, length = packing.pack(tokens, held)
  return types.Context(tokens=tokens, lengths=length.astype(jnp.int32))


def write(
  tokens: chex.Array, start: chex.Array, new: types.Context
) -> chex.Array:
  """Write new tokens behind the first `start` of `tokens` (of one problem)."""
  offsets = jnp.arange(new.tokens.shape[0])
  places = jnp.where(offsets < new.lengths, start + offsets, tokens.shape[0])
  return tokens.at[places].set(new.tokens, mode="drop")


def extend(
  task: base.Task,
  context: types.Context,
  state: types.State,
  tokens: chex.Array,
  length: chex.Array,
) -> types.Context:
  """Return the context after a step and its answer (of one problem)."""
  new = added(task, state, tokens, length)
  if task.context == "reset":
    return new
  return types.Context(
    tokens=write(context.tokens, context.lengths, new),
    lengths=context.lengths + new.lengths,
  )
