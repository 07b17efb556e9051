"""Reward models: a network with a head that scores every state.

The head is that of the value of `PolicyValueTransformer`: one number at the end
of each state, its sigmoid the score of the step that led there. Its trunk is
the model's own, or that of the policy, which is then left as it is.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.models import network
from alphallm.models import steps as steps_lib
from alphallm.rewards import base, combined, formulas, losses
from alphallm.tasks import base as task_base


def state_logits(
  apply_fn: network.Network,
  params: Any,
  contexts: chex.Array,
  ends: chex.Array,
) -> chex.Array:
  """Return the logit of each state, `[B, S]`.

  Args:
    apply_fn: the network.
    params: of the model.
    contexts: `[B, R, C]` int32, as of `Solution`.
    ends: `[B, S]` int32, S a multiple of R. Of a state that is not there, 0,
      the logit means nothing.
  """
  batch, rows, size = contexts.shape
  places = jnp.arange(size)[None, None]
  output = apply_fn(
    params,
    contexts,
    jnp.broadcast_to(places, contexts.shape),
    read=jnp.maximum(ends - 1, 0).reshape(batch, rows, -1),
  )
  return output.value_logits.reshape(ends.shape)


def token_logits(
  apply_fn: network.Network, params: Any, solution: base.Solution
) -> chex.Array:
  """Return the logits of every token of every step, `[B, D, T, V]`.

  The contexts are passed once; each step attends to what its state had read.
  """
  batch, depth, most = solution.steps.shape
  # Of the last state no step is taken.
  contexts, ends = solution.contexts, jnp.maximum(solution.ends[:, :-1], 1)
  if contexts.shape[1] > 1:
    contexts = contexts[:, :-1]
  rows = contexts.shape[1]
  each = lambda x: x.reshape(batch * rows, depth // rows, *x.shape[2:])
  first, rest, _ = steps_lib.read(
    apply_fn,
    params,
    contexts.reshape(batch * rows, -1),
    each(ends),
    each(solution.steps)[:, :, None],
  )
  logits = jnp.concatenate([first[:, :, None], rest[:, :, 0]], axis=2)
  return logits.reshape(batch, depth, most, -1)


def step_log_probs(
  apply_fn: network.Network, params: Any, solution: base.Solution
) -> chex.Array:
  """Return log π(step | state), `[B, D]`; 0 where there is no step."""
  logits = token_logits(apply_fn, params, solution)
  log_probs = jax.nn.log_softmax(logits)
  chosen = pick(log_probs, solution.steps)
  return jnp.sum(jnp.where(solution.is_token, chosen, 0.0), axis=-1)


def pick(x: chex.Array, tokens: chex.Array) -> chex.Array:
  """Return `x[..., V]` at the tokens `[...]`."""
  return jnp.take_along_axis(x, tokens[..., None], axis=-1)[..., 0]


def reward(
  apply_fn: network.Network, params: Any, how: combined.Aggregate = "last"
) -> base.Reward:
  """Return a trained model as a reward; its scores are in [0, 1].

  Of what the rules forbid the score is 0.

  Args:
    apply_fn: the network.
    params: of the model.
    how: the score of the whole comes from those of its steps; an outcome model
      has one at the last step alone.
  """

  def score(solution: base.Solution) -> base.Scores:
    logits = state_logits(apply_fn, params, solution.contexts, solution.ends)
    scores = jax.nn.sigmoid(logits)[:, 1:]
    steps = jnp.where(solution.is_step & solution.legal, scores, 0.0)
    return base.Scores(
      steps=steps, outcome=combined.aggregate(steps, solution.is_step, how)
    )

  return score


def confidence(
  apply_fn: network.Network, params: Any, *, top: int = 5
) -> base.Reward:
  """Return the token confidence of a policy as a reward (Marco-o1).

  The whole scores the mean of its steps; see `formulas.token_confidence`.
  """

  def score(solution: base.Solution) -> base.Scores:
    steps = formulas.token_confidence(
      token_logits(apply_fn, params, solution),
      solution.steps,
      solution.is_token,
      top=top,
    )
    return base.Scores(
      steps=steps,
      outcome=combined.aggregate(steps, solution.is_step, "mean"),
    )

  return score


def implicit(
  apply_fn: network.Network, params: Any, reference: Any, *, beta: float
) -> base.Reward:
  """Return the implicit reward of a policy that DPO has trained.

  The whole scores the sum of its steps; see `formulas.implicit`.

  Args:
    apply_fn: the network.
    params: of the policy.
    reference: of the policy that it began with.
    beta: β of the DPO.
  """

  def score(solution: base.Solution) -> base.Scores:
    steps = formulas.implicit(
      step_log_probs(apply_fn, params, solution),
      step_log_probs(apply_fn, reference, solution),
      beta=beta,
    )
    return base.Scores(steps=steps, outcome=jnp.sum(steps, axis=-1))

  return score


def token_values(
  apply_fn: network.Network, params: Any, solution: base.Solution
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Return Q(s,a), V(s) and V(s') of every token, `[B, D * T]` each.

  A token is an action; the logits are its Q, and V = logsumexp Q (Wulfmeier et
  al., 2024, for IQ-Learn on language models). Behind the last token V(s') is 0.
  """
  logits = token_logits(apply_fn, params, solution)
  batch, depth, most, _ = logits.shape
  value = jax.nn.logsumexp(logits, axis=-1)
  places = jnp.arange(most)[None, None]
  ends_step = places == solution.step_lengths[..., None] - 1
  is_last = jnp.arange(depth)[None] == solution.num_steps[:, None] - 1
  following = jnp.pad(value[:, 1:, 0], ((0, 0), (0, 1)))
  following = jnp.where(is_last, 0.0, following)[..., None]
  within = jnp.pad(value[..., 1:], ((0, 0), (0, 0), (0, 1)))
  after = jnp.where(ends_step, following, within)
  flat = lambda x: x.reshape(batch, depth * most)
  return flat(pick(logits, solution.steps)), flat(value), flat(after)


def expert(
  apply_fn: network.Network, params: Any, *, discount: float = 1.0
) -> base.Reward:
  """Return the reward that IQ-Learn has found in demonstrations.

  A step scores the sum of its tokens, the whole that of its steps.
  """

  def score(solution: base.Solution) -> base.Scores:
    chosen, _, after = token_values(apply_fn, params, solution)
    rewards = losses.expert_reward(chosen, after, discount)
    rewards = rewards.reshape(solution.steps.shape)
    steps = jnp.sum(jnp.where(solution.is_token, rewards, 0.0), axis=-1)
    return base.Scores(steps=steps, outcome=jnp.sum(steps, axis=-1))

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
