"""What a world model learns, and what it foresees as a reward.

Trained as MuZero is (Schrittwieser et al., 2020, eq. 1): from the embedding of
a state the model goes U steps on by itself, and is held to what the environment
answered to each. Its embeddings are learnt by the text of the next state; value
and policy are those of the network that reads them, and are not learnt here.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from alphallm.models import world_model
from alphallm.rewards import base, examples


def unrolled(
  model: world_model.WorldModel,
  params,
  table: chex.Array,
  state: tuple[chex.Array, chex.Array],
  steps: tuple[chex.Array, chex.Array],
) -> world_model.Foresight:
  """Foresee U steps, each from what was foreseen behind the one before.

  Args:
    model: the world model.
    params: of it.
    table: `[V, E]`, the policy's embeddings.
    state: of B problems, the tokens `[B, O]` and how many they are, `[B]`.
    steps: `[B, U, T]` int32, and their lengths, `[B, U]`.

  Returns:
    What is foreseen behind each, `[B, U, ...]`.
  """
  text, lengths = state

  def go_on(state, step):
    seen = model.apply(params, *state, *step)
    return (seen.embedding(table), seen.num_tokens), seen

  swap = lambda x: jnp.swapaxes(x, 0, 1)
  first = table[text].astype(jnp.float32), jnp.maximum(lengths, 1)
  _, seen = jax.lax.scan(go_on, first, jax.tree.map(swap, steps))
  return jax.tree.map(swap, seen)


def foresight_loss(
  seen: world_model.Foresight, walk: examples.Walks
) -> chex.Array:
  """Return the mean over steps of what was not foreseen, `[]`.

  Cross-entropies of the reward, of whether the step is legal and, of legal
  ones, of whether the episode is over, of the number of tokens of the next
  state, and the mean of those of its tokens.

  Args:
    seen: `[B, U, ...]`.
    walk: `[B, ...]`.
  """
  text, ends = walk.contexts[:, 1:], walk.ends[:, 1:]
  binary = optax.sigmoid_binary_cross_entropy
  cross_entropy = optax.softmax_cross_entropy_with_integer_labels
  places = jnp.arange(text.shape[-1])[None, None]
  is_token = places < ends[..., None]
  tokens = jnp.sum(
    cross_entropy(seen.tokens, text), axis=-1, where=is_token
  ) / jnp.maximum(ends, 1)
  length = cross_entropy(seen.length, jnp.maximum(ends - 1, 0))
  over = binary(seen.over, walk.over.astype(jnp.float32))
  loss = (
    binary(seen.reward, walk.rewards)
    + binary(seen.legal, walk.legal.astype(jnp.float32))
    + jnp.where(walk.legal, over + length + tokens, 0.0)
  )
  count = jnp.maximum(jnp.sum(walk.is_step), 1)
  return jnp.sum(loss, where=walk.is_step) / count


def agreement(
  seen: world_model.Foresight, walk: examples.Walks
) -> dict[str, chex.Array]:
  """Return which of what was foreseen is so, `[B, U]` bool each.

  Args:
    seen: `[B, U, ...]`.
    walk: `[B, ...]`.

  Returns:
    `state`, whether the likeliest text is that of the next state; `legal`,
    whether a step is taken to be legal that is, or is not; `reward`, whether it
    is paid 1 that earns it.
  """
  text, ends = walk.contexts[:, 1:], walk.ends[:, 1:]
  is_token = jnp.arange(text.shape[-1])[None, None] < ends[..., None]
  same = (jnp.argmax(seen.tokens, axis=-1) == text) | ~is_token
  return {
    "state": jnp.all(same, axis=-1) & (seen.num_tokens == ends),
    "legal": (seen.legal > 0) == walk.legal,
    "reward": (seen.reward > 0) == (walk.rewards >= 1),
  }


def reward(
  model: world_model.WorldModel, params, table: chex.Array
) -> base.Reward:
  """Return what a world model foresees as a reward; scores are in [0, 1].

  Of a solution it reads the first state and the steps. A step scores the reward
  that is foreseen, if it and all before it are taken to be legal; the whole the
  greatest of them.
  """

  def score(solution: base.Solution) -> base.Scores:
    seen = unrolled(
      model,
      params,
      table,
      (solution.contexts[:, 0], solution.ends[:, 0]),
      (solution.steps, solution.step_lengths),
    )
    likely = jax.nn.sigmoid(seen.reward)
    allowed = jnp.cumprod(jax.nn.sigmoid(seen.legal), axis=-1)
    steps = jnp.where(solution.is_step, likely * allowed, 0.0)
    return base.Scores(steps=steps, outcome=jnp.max(steps, axis=-1))

  return score
