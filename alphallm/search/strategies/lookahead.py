"""Lookahead search: a beam that scores a step by what follows it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from alphallm import parts, types
from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, selection
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base

_NO_GOOD = -paths_lib.CERTAIN  # of a step that is followed by a wrong one


def lookahead(
  apply_fn: network.Network,
  task: base.Task,
  *,
  width: int = 4,
  num_steps: int = 2,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Snell et al., 2024: each of the W x K ways on is scored where `num_steps`
  greedy steps lead from it. What the steps ahead have cost is counted. If they
  are known to solve the problem, they are the answer.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    width: W.
    num_steps: that are looked ahead.
    guidance: what scores the states ahead; `None`: the value head.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  if num_steps < 1:
    raise ValueError(f"num_steps={num_steps} must be at least 1")
  guidance, settings = settings_lib.guided(
    "lookahead",
    guidance,
    task,
    settings,
    of_partial=num_steps < task.max_steps - 1,
  )
  return layers.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=width,
    num_open=1,
    select=functools.partial(selection.highest, width=width),
    score=functools.partial(_look, num_steps),
  )


def _look(num_steps, writer, ground, rng_keys, frontier, children):
  """Score the children where greedy steps lead; see `layers.Score`."""
  settings = dataclasses.replace(
    writer.settings, num_candidates=1, noise=False, distinct=True
  )
  greedy = dataclasses.replace(writer, settings=settings)
  everyone, _ = layers.everyone(children.path)

  def goes_on(carry):
    time, ahead, _ = carry
    going = parts.anywhere(writer.params, ~jnp.all(ahead.path.over))
    return (time < num_steps) & going

  def step(carry):
    time, ahead, cost = carry
    ahead, next_, spent = greedy.layer(ground, rng_keys, ahead)
    ahead = greedy.reader.adopt(ground, ahead, next_, everyone)
    return time + 1, ahead, cost + spent

  ahead = writer.reader.adopt(ground, frontier, children, everyone)
  cost = types.Cost.zeros(ground.length.shape[0])
  _, ahead, cost = jax.lax.while_loop(
    goes_on, step, (jnp.int32(0), ahead, cost)
  )
  path, seen = children.path, writer.score(ahead.path)
  score = jnp.where(seen.lives, seen.score, _NO_GOOD)
  path = path.replace(score=jnp.where(path.lives, score, path.score))
  if settings.checks:
    path = paths_lib.where(seen.finished & seen.solved, seen, path)
  return path, cost
