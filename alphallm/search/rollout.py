"""Playing on from a leaf by the policy alone, to see what it is worth."""

import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import parts, types
from alphallm.models import attention, network
from alphallm.search import candidates as candidates_lib
from alphallm.search import context as context_lib
from alphallm.search.search_config import SearchConfig
from alphallm.tasks import base


@chex.dataclass(frozen=True)
class _Game:
  """Games under way, `[B, ...]`.

  Attributes:
    time: `[]`, steps played.
    state: where they stand.
    logits: `[B, V]`, of the next token.
    place: `[B]`, of the next token in its context.
    story: what was said since the leaf; where contexts reset, the last of it.
    discount: `[B]`, of what is still to come.
    total: `[B]`, what has come.
    value: `[B]`, the network's, of the state.
    cost: what was spent.
  """

  time: chex.Array
  state: types.State
  logits: chex.Array
  place: chex.Array
  story: attention.Segment
  discount: chex.Array
  total: chex.Array
  value: chex.Array
  cost: types.Cost


def value(
  apply_fn: network.Network,
  params: Any,
  task: base.Task,
  config: SearchConfig,
  rng_keys: chex.PRNGKey,
  state: types.State,
  logits: chex.Array,
  network_value: chex.Array,
  place: chex.Array,
  segments: Sequence[attention.Segment],
  *,
  temperature: chex.Numeric = 1.0,
) -> tuple[chex.Array, types.Cost]:
  """Return the discounted reward of one game from each of B states.

  A game that is not over after `config.rollout_steps` steps counts as what the
  network thinks of it there (AlphaGo, Silver et al., 2016, where they go on to
  the end).

  Args:
    apply_fn: the network.
    params: its parameters.
    task: the environment, which is asked for rewards.
    config: how to search.
    rng_keys: `[B]` keys (consumed). Without `config.noise` steps are greedy.
    state: where games begin; of those that are over nothing is played.
    logits: `[B, V]`, of the first token.
    network_value: `[B]`, the network's value of the states.
    place: `[B]` int32, of the first token in its context.
    segments: the context, the last of them what the leaf itself has added.
    temperature: of the tokens sampled.

  Returns:
    Values in [0, 1], `[B]`, and what they have cost.
  """
  resets, batch = task.context == "reset", place.shape[0]
  own = segments[-1]
  before = () if resets else tuple(segments)
  if resets:
    story = own
  else:
    grown = task.max_step_tokens + task.max_observation_tokens
    room = grown * config.rollout_steps
    story = attention.Segment(
      kv=attention.empty(own.kv, room),
      mask=jnp.zeros((batch, 1, 1, room), bool),
    )

  def is_on(game: _Game):
    going = parts.anywhere(params, ~jnp.all(game.state.terminated))
    return (game.time < config.rollout_steps) & going

  def play(game: _Game) -> _Game:
    read = [*before, game.story]
    steps, decoded = candidates_lib.sample(
      apply_fn,
      params,
      jax.vmap(jax.random.fold_in, (0, None))(rng_keys, game.time),
      game.logits,
      game.place,
      read,
      num_candidates=1,
      max_step_tokens=task.max_step_tokens,
      stop_ids=task.stop_ids,
      noise=config.noise,
      temperature=temperature,
      truncation=config.truncation,
    )
    tokens, lengths = steps.tokens[:, 0], steps.lengths[:, 0]
    after = jax.vmap(task.step)(game.state, tokens, lengths)
    added = jax.vmap(functools.partial(context_lib.added, task))(
      after, tokens, lengths
    )
    start = jnp.zeros_like(game.place) if resets else game.place
    offsets = jnp.arange(added.tokens.shape[1])[None]
    output = apply_fn(
      params,
      added.tokens[:, None],
      (start[:, None] + offsets)[:, None],
      segments=() if resets else read,
      read=jnp.maximum(added.lengths - 1, 0)[:, None, None],
    )
    on = ~game.state.terminated
    spent = types.Cost(
      decoded=decoded,
      prefilled=added.lengths,
      model_calls=lengths,
      nodes=jnp.zeros_like(lengths),
    )
    room = game.story.mask.shape[-1]
    used = 0 if resets else jnp.sum(game.story.mask[:, 0, 0], axis=-1)
    used = jnp.broadcast_to(used, (batch,))[:, None]
    place = jnp.where(offsets < added.lengths[:, None], used + offsets, room)
    new = jax.tree.map(lambda x: x[:, 0], output.kv)
    held = jnp.arange(room)[None] < used + added.lengths[:, None]
    return game.replace(
      time=game.time + 1,
      state=after,
      logits=output.logits[:, 0, 0],
      place=start + added.lengths,
      story=attention.Segment(
        kv=attention.put(game.story.kv, new, place),
        mask=held[:, None, None],
      ),
      discount=jnp.where(on, game.discount * config.discount, game.discount),
      total=game.total + jnp.where(on, game.discount * after.reward, 0.0),
      value=jax.nn.sigmoid(output.value_logits[:, 0, 0]),
      cost=game.cost + jax.tree.map(lambda x: jnp.where(on, x, 0), spent),
    )

  game = jax.lax.while_loop(
    is_on,
    play,
    _Game(
      time=jnp.zeros((), jnp.int32),
      state=state,
      logits=logits,
      place=place,
      story=story,
      discount=jnp.ones((batch,)),
      total=jnp.zeros((batch,)),
      value=network_value,
      cost=types.Cost.zeros(batch),
    ),
  )
  rest = jnp.where(game.state.terminated, 0.0, game.discount * game.value)
  return game.total + rest, game.cost
