"""What a strategy found: a path is chosen, played, and told as a result."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.search import play
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import base

# (writer, paths [B, W]) -> which is the answer [B], and its worth [B]
Choose = Callable[
  [writer_lib.Writer, paths_lib.Path], tuple[chex.Array, chex.Array]
]


def best(
  writer: writer_lib.Writer, path: paths_lib.Path
) -> tuple[chex.Array, chex.Array]:
  """Choose the path of the highest score, and what the network thinks of it.

  Paths that are known to solve the problem go before those that have come to an
  end, these before those under way or cut off, and all of them before wrong
  ones. Of equals the first is taken.
  """
  tier = path.lives.astype(jnp.int32) + writer.ended(path)
  if writer.settings.checks:
    tier += path.solved
  highest = tier == jnp.max(tier, axis=1, keepdims=True)
  index = jnp.argmax(jnp.where(highest, path.score, -jnp.inf), axis=1)
  return index, paths_lib.take(path.value, index[:, None])[:, 0]


def tell(
  task: base.Task,
  problems: Any,
  path: paths_lib.Path,
  index: chex.Array,
  value: chex.Array,
  cost: types.Cost,
) -> play.SearchResult:
  """Play the chosen path of each problem.

  Args:
    task: the environment.
    problems: `[B, ...]`.
    path: all paths, `[B, W]`.
    index: `[B]` int32, which is played.
    value: `[B]`, of the problem, as the strategy sees it.
    cost: what was spent.
  """
  batch = index.shape[0]
  chosen = jax.tree.map(lambda x: x[:, 0], paths_lib.take(path, index[:, None]))
  steps = chosen.lengths.shape[1]
  is_step = jnp.arange(steps)[None] < chosen.num_steps[:, None]
  line = types.Line(
    tokens=chosen.tokens[:, :, None],
    lengths=chosen.lengths[:, :, None],
    actions=jnp.zeros((batch, steps), jnp.int32),
    weights=is_step[..., None].astype(jnp.float32),
    length=chosen.num_steps,
    solves=jnp.zeros((batch,), bool),
  )
  first = jax.vmap(functools.partial(play.start, task, 1))(problems)
  trace = jax.vmap(functools.partial(play.play_line, task))(first, line, value)
  # A problem that needs no step is solved before one is played.
  episode = trace.episode
  return play.SearchResult(
    tokens=episode.steps[:, :-1].reshape(batch, -1),
    solved=episode.solved,
    reward=jnp.where(trace.state.terminated, trace.state.reward, 0.0),
    value=value,
    cost=cost,
    episode=episode,
    paths=path,
  )
