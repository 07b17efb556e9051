"""What was decided at a state and how good it was: examples of gradients."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.learning import replay, returns, scoring


@chex.dataclass(frozen=True)
class Decision(replay.Example):
  """An example whose candidates are steps that were taken, each judged.

  The `weights` of the candidates are their weights in the mean of the loss, and
  `values` are targets of the value.

  Attributes:
    advantages: `[S, J]` float32.
    log_probs: `[S, J, T]` float32, of their tokens under the policy that
      played.
    old_values: `[S]` float32, its value.
  """

  advantages: chex.Array
  log_probs: chex.Array
  old_values: chex.Array


def attempts(
  episodes: types.Episode, done: chex.Array, group_size: int
) -> tuple[types.Episode, chex.Array]:
  """Return the whole episodes, the G attempts at a problem side by side.

  The j-th problem of each slot of a group is the same.

  Args:
    episodes: `[B, M, ...]`, of B slots after each of M moves.
    done: `[B, M]` bool, which of them are whole.
    group_size: G, which divides B.

  Returns:
    Episodes `[B / G x M, G, ...]`, and which of them are there.
  """
  batch, moves = done.shape
  order = jnp.argsort(~done, axis=1, stable=True)

  def arrange(x):
    places = order.reshape(batch, moves, *(1,) * (x.ndim - 2))
    x = jnp.take_along_axis(x, places, axis=1)
    x = x.reshape(-1, group_size, *x.shape[1:])
    return jnp.swapaxes(x, 1, 2).reshape(-1, group_size, *x.shape[3:])

  return jax.tree.map(arrange, episodes), arrange(done)


def of_steps(episodes: types.Episode, valid: chex.Array) -> replay.Example:
  """Return the steps played as examples, `[..., R, ...]`.

  The only candidate of a state is the step played, with a weight of 1 where it
  is learned from; values are 0.

  Args:
    episodes: with any leading shape `[...]`.
    valid: `[...]` bool, which of them are learned from.
  """
  lead, d = valid.shape, episodes.ends.shape[-1]
  r = episodes.contexts.shape[-2]
  group = lambda x: x.reshape(*lead, r, d // r, *x.shape[len(lead) + 1 :])
  there = returns.is_step(episodes.num_steps, d) & valid[..., None]
  mask = group(there & episodes.mask).astype(jnp.float32)
  return replay.Example(
    context=episodes.contexts,
    ends=jnp.maximum(group(episodes.ends), 1),
    candidates=group(episodes.steps)[..., None, :],
    lengths=group(episodes.step_lengths)[..., None],
    weights=mask[..., None],
    values=jnp.zeros_like(mask),
    mask=mask,
  )


def flat(tree: Any, axes: int) -> Any:
  """Return arrays with their first `axes` axes as one."""
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[axes:]), tree)


def of_attempts(
  episodes: types.Episode,
  valid: chex.Array,
  advantages: chex.Array,
  targets: chex.Array,
  weights: chex.Array,
) -> tuple[Decision, chex.Array]:
  """Return the steps played as decisions.

  Args:
    episodes: `[n, G, ...]`.
    valid: `[n, G]` bool, which of them are learned from.
    advantages: `[n, G, D + 1]`, of the steps.
    targets: `[n, G, D + 1]`, of the values of the states.
    weights: `[n, G, D + 1]`, of the steps in the mean.

  Returns:
    Decisions with one leading axis, and which of them to keep. Where contexts
    append, a decision is a whole episode, else a state of it.
  """
  played = flat(of_steps(episodes, valid), 3)
  like = lambda x: x.reshape(played.mask.shape)
  made = Decision(
    **{
      **played,
      "weights": played.weights * like(weights)[..., None],
      "values": like(targets),
      "advantages": like(advantages)[..., None],
      "log_probs": jnp.zeros(played.candidates.shape),
      "old_values": jnp.zeros(played.mask.shape),
    }
  )
  return made, jnp.any(played.mask > 0, axis=-1)


def of_nodes(
  nodes: types.Visited, rng_key: chex.PRNGKey
) -> tuple[Decision, chex.Array]:
  """Return the candidates that a search has visited as decisions.

  The advantage of a candidate is Q − V of its node, its weight the share of its
  visits. Nodes are kept in proportion to their visits. One that is illegal is
  worth nothing, and counts as visited once: were it not judged, each legal one
  that is judged bad would leave its probability to it.

  Args:
    nodes: `[..., ...]`.
    rng_key: draws what is kept (consumed).
  """
  visits = jnp.where(nodes.illegal, 1, nodes.visits)
  total = jnp.sum(visits, axis=-1, keepdims=True)
  seen = visits > 0
  example, keep = replay.of_nodes(nodes, rng_key)
  one = lambda x: x.reshape(-1, 1, *x.shape[nodes.value.ndim :])
  advantages = (nodes.qvalues - nodes.value[..., None]) * seen
  made = Decision(
    **{
      **example,
      "weights": one(visits / jnp.maximum(total, 1)),
      "advantages": one(advantages),
      "log_probs": jnp.zeros(example.candidates.shape),
      "old_values": jnp.zeros(example.values.shape),
    }
  )
  return made, keep & jnp.any(seen.reshape(len(keep), -1), axis=-1)


def recall(
  apply_fn: Callable[..., Any], params: Any, batch: Decision
) -> Decision:
  """Complete decisions by what the policy that played says of them."""
  *says, value_logits = scoring.predict(apply_fn, params, batch)
  return batch.replace(
    log_probs=scoring.of_tokens(batch, *says),
    old_values=jax.nn.sigmoid(value_logits),
  )
