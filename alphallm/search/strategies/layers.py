"""Strategies that lengthen all of their paths by a step at a time."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import parts, types
from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import outcome
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import base

# Children [B, M] -> which of them live on, [B, W], and which of those do not
# after all. Those that do not live may be among them.
Select = Callable[[paths_lib.Path], tuple[chex.Array, chex.Array]]
# (writer, ground, rng_keys, frontier, children) -> their paths, scored; cost
Score = Callable[..., tuple[paths_lib.Path, types.Cost]]


def everyone(path: paths_lib.Path) -> tuple[chex.Array, chex.Array]:
  """Select all paths."""
  batch, width = path.over.shape
  index = jnp.broadcast_to(jnp.arange(width)[None], (batch, width))
  return index, jnp.zeros((batch, width), bool)


def strategy(
  apply_fn: network.Network,
  task: base.Task,
  settings: writer_lib.Settings,
  guidance: guidance_lib.Guidance,
  *,
  width: int,
  num_open: int,
  select: Select = everyone,
  score: Score | None = None,
  choose: outcome.Choose = outcome.best,
) -> Callable[..., play.SearchResult]:
  """Return a strategy `(params, rng_key, problems) -> SearchResult`.

  Args:
    apply_fn: the network.
    task: the environment.
    settings: how steps are sampled, and what may be asked.
    guidance: what scores the children.
    width: W, paths of a problem.
    num_open: how many of them begin; the others wait for children.
    select: which children live on.
    score: another way to score them.
    choose: which path is the answer.

  Raises:
    ValueError: if the paths cannot be written by what may be asked.
  """
  plays = width == settings.num_candidates == 1
  make = functools.partial(
    writer_lib.Writer, apply_fn, task=task, settings=settings, guidance=guidance
  )
  check_written(task, settings, plays)

  def run(params: Any, rng_key: chex.PRNGKey, problems: Any):
    rng_keys = play.keys_of(rng_key, problems)
    writer = make(params=params, plays=plays)
    ground, cost = writer.reader.ground(problems)
    fold = jax.vmap(jax.random.fold_in, (0, None))

    def is_running(carry):
      time, frontier, _ = carry
      going = parts.anywhere(params, ~jnp.all(frontier.path.over))
      return (time < task.max_steps) & going

    def step(carry):
      time, frontier, cost = carry
      keys = fold(rng_keys, time)
      scored = score and functools.partial(score, writer, ground, keys)
      frontier, children, spent = writer.layer(ground, keys, frontier, scored)
      index, drop = select(children.path)
      frontier = writer.reader.adopt(ground, frontier, children, index)
      path = rest(settings, paths_lib.reject(frontier.path, drop))
      return time + 1, frontier.replace(path=path), cost + spent

    frontier = writer.reader.begin(ground, width, num_open)
    _, frontier, cost = jax.lax.while_loop(
      is_running, step, (jnp.int32(0), frontier, cost)
    )
    index, value = choose(writer, frontier.path)
    return outcome.tell(task, problems, frontier.path, index, value, cost)

  return run


def rest(settings: writer_lib.Settings, path: paths_lib.Path) -> paths_lib.Path:
  """Return the paths, none of which goes on once one is known to be right."""
  if not settings.checks:
    return path
  solved = jnp.any(path.finished & path.solved, axis=1, keepdims=True)
  return path.replace(over=path.over | solved)


def check_written(
  task: base.Task, settings: writer_lib.Settings, plays: bool
) -> None:
  """Raise unless paths can be written by what may be asked."""
  if task.context == "reset" and settings.permission == "nothing" and not plays:
    raise ValueError(
      "a task that resets its context at every observation needs a search "
      "with permission 'rules' or 'checker'"
    )
