"""Reward models: a network with a head that scores every state.

The head is that of the value of `PolicyValueTransformer`: one number at the end
of each state, its sigmoid the score of the step that led there. Its trunk is
the model's own, or that of the policy, which is then left as it is.
"""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import optax

from alphallm import types
from alphallm.models import network
from alphallm.rewards import base, combined
from alphallm.tasks import base as task_base

Trunk = Literal["fresh", "policy", "shared"]


def state_logits(
  apply_fn: network.Network, params: Any, solution: base.Solution
) -> chex.Array:
  """Return the logit of each state of solutions, `[B, D + 1]`.

  States that are not there have the logit of some place of their context.
  """
  batch, rows, size = solution.contexts.shape
  places = jnp.arange(size)[None, None]
  output = apply_fn(
    params,
    solution.contexts,
    jnp.broadcast_to(places, solution.contexts.shape),
    read=jnp.maximum(solution.ends - 1, 0).reshape(batch, rows, -1),
  )
  return output.value_logits.reshape(solution.ends.shape)


def reward(
  apply_fn: network.Network, params: Any, how: combined.Aggregate = "last"
) -> base.Reward:
  """Return a trained model as a reward; its scores are in [0, 1].

  Args:
    apply_fn: the network.
    params: of the model.
    how: the score of the whole comes from those of its steps; an outcome model
      has one at the last step alone.
  """

  def score(solution: base.Solution) -> base.Scores:
    scores = jax.nn.sigmoid(state_logits(apply_fn, params, solution))[:, 1:]
    steps = jnp.where(solution.is_step, scores, 0.0)
    return base.Scores(
      steps=steps, outcome=combined.aggregate(steps, solution.is_step, how)
    )

  return score


def of_state(
  apply_fn: network.Network, params: Any, task: task_base.Task
) -> Callable[[types.State], chex.Array]:
  """Return the model as `process_reward=` of a search, `State -> []`.

  Raises:
    ValueError: if a state of the task does not tell what the model has read,
      which is so where contexts append.
  """
  if task.context != "reset":
    raise ValueError(
      f"{task.name}: a reward model reads the whole text where the context "
      "appends, and a search shows it the state alone; reset the context"
    )

  def score(state: types.State) -> chex.Array:
    tokens = state.observation[None, None]
    read = jnp.maximum(state.observation_length - 1, 0)[None, None, None]
    output = apply_fn(
      params, tokens, jnp.arange(tokens.shape[-1])[None, None], read=read
    )
    # An illegal step leaves the state as it was, and is as wrong as can be.
    return jnp.where(
      state.legal, jax.nn.sigmoid(output.value_logits[0, 0, 0]), 0.0
    )

  return score


def of_path(
  apply_fn: network.Network, params: Any, task: task_base.Task
) -> Callable[[Any], chex.Array]:
  """Return the model as the `reward` of `search.guidance.outcome`.

  It scores the last state of a path; see `of_state`.
  """
  score = of_state(apply_fn, params, task)
  return lambda path: score(path.state)


def make_tx(
  learning_rate: float, num_steps: int, trunk: Trunk
) -> optax.GradientTransformation:
  """Return clipping and AdamW; of a shared trunk the head alone is trained."""
  rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=learning_rate,
    warmup_steps=min(100, num_steps // 10 + 1),
    decay_steps=max(num_steps, 2),
    end_value=0.05 * learning_rate,
  )
  tx = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(rate, b2=0.98, weight_decay=0.01),
  )
  if trunk != "shared":
    return tx
  return optax.multi_transform(
    {"head": tx, "trunk": optax.set_to_zero()}, _parts
  )


def _parts(params: Any) -> Any:
  """Say of each parameter if it is the head's or the trunk's."""

  def part(path, _):
    names = jax.tree_util.keystr(path, simple=True, separator="/")
    return "head" if "value_head" in names.split("/") else "trunk"

  return jax.tree_util.tree_map_with_path(part, params)
