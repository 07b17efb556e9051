"""Attempts that are made out of earlier ones: what refining strategies share.

An attempt is a whole path. To refine one is to keep it up to its weakest step,
and to write anew from there.
"""

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
from alphallm.search.strategies import layers, outcome
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import base

_LEAST_FALL = 0.01  # so that every step has its turn


@chex.dataclass(frozen=True)
class Attempts:
  """Attempts at B problems, and what lay behind them, `[B, A, ...]`.

  Attributes:
    path: the attempts; in places that wait, paths that do not live.
    behind: `[D]` frontiers, before each step that was written.
    scores: `[D + 1]` float32 in [0, 1], the guidance's before the first step,
      and after each; 0 of what is wrong.
    tries: `[D]` int32, how often each step was written anew.
    parent: `[]` int32, the attempt that this one refines; -1: none.
  """

  path: paths_lib.Path
  behind: paths_lib.Frontier
  scores: chex.Array
  tries: chex.Array
  parent: chex.Array

  @property
  def is_step(self) -> chex.Array:
    """Which of the D steps an attempt has, `[B, A, D]` bool."""
    steps = jnp.arange(self.tries.shape[-1])[None, None]
    return steps < self.path.num_steps[..., None]


# (attempts, number of the round) -> those that are refined next, [B, W]
Choose = Callable[[Attempts, chex.Array], chex.Array]


def weakest(attempt: Attempts) -> chex.Array:
  """Return the step of each attempt that is written anew, `[B, W]` int32.

  It is the step after which the score falls most. A step that was written anew
  m times already counts 1 / (1 + m) of its fall, so that one that cannot be
  mended gives way to those before it. Of equals the first is taken.
  """
  before, after = attempt.scores[..., :-1], attempt.scores[..., 1:]
  fall = jnp.maximum(before - after, 0.0) + _LEAST_FALL
  weight = jnp.where(attempt.is_step, fall / (1 + attempt.tries), -1.0)
  return jnp.argmax(weight, axis=-1)


def strategy(
  apply_fn: network.Network,
  task: base.Task,
  settings: writer_lib.Settings,
  guidance: guidance_lib.Guidance,
  *,
  width: int,
  num_rounds: int,
  choose: Choose,
) -> Callable[..., play.SearchResult]:
  """Return a strategy `(params, rng_key, problems) -> SearchResult`.

  W attempts are made, then in each further round W attempts are refined. The
  best of all A is the answer. A problem of which a solution is known rests.

  Args:
    apply_fn: the network.
    task: the environment.
    settings: how steps are sampled, and what may be asked.
    guidance: what scores steps.
    width: W, attempts of a round.
    num_rounds: A / W.
    choose: which attempts a round refines.

  Raises:
    ValueError: if the paths cannot be written by what may be asked, scores are
      not from 0 to 1, or a number is too small.
  """
  if width < 1 or num_rounds < 1:
    raise ValueError(
      f"{width} attempts in {num_rounds} rounds: both must be at least 1"
    )
  if not guidance.is_share:
    raise ValueError(
      f"refining by {guidance.name}: its scores are not from 0 to 1, so that a "
      "wrong step has none"
    )
  layers.check_written(task, settings, plays=False)
  make = functools.partial(
    writer_lib.Writer, apply_fn, task=task, settings=settings, guidance=guidance
  )
  fold = jax.vmap(jax.random.fold_in, (0, None))

  def run(params: Any, rng_key: chex.PRNGKey, problems: Any):
    rng_keys = play.keys_of(rng_key, problems)
    writer = make(params=params)
    ground, cost = writer.reader.ground(problems)
    first = writer.reader.begin(ground, width, width)
    first = first.replace(path=writer.score(first.path))
    blank = _blank(first, task.max_steps, num_rounds)

    def is_running(carry):
      time, attempts, _ = carry
      wanted = ~jnp.all(_rests(writer, attempts.path))
      return (time < num_rounds) & parts.anywhere(params, wanted)

    def refine(carry):
      time, attempts, cost = carry
      scratch = jnp.broadcast_to(jnp.arange(width)[None], first.place.shape)
      index = jnp.where(time > 0, choose(attempts, time), scratch)
      old = paths_lib.take(attempts, index)
      at = weakest(old)
      tries = _add(old.tries, at, (time > 0).astype(jnp.int32))
      # What is written anew once more, counts for the refined one, too.
      attempts = attempts.replace(
        tries=paths_lib.put(attempts.tries, index, tries)
      )
      is_kept = jnp.arange(task.max_steps)[None, None] <= at[..., None]
      new = old.replace(
        tries=jnp.where(is_kept, tries, 0),
        parent=jnp.where(time > 0, index, -1),
      )
      rests = _rests(writer, attempts.path)
      frontier = jax.tree.map(lambda x: _at(x, at), old.behind)
      path = frontier.path
      frontier = frontier.replace(path=path.replace(over=path.over | rests))
      new, spent = _write(writer, ground, fold(rng_keys, time), new, frontier)
      new = new.replace(path=paths_lib.reject(new.path, rests))
      places = scratch + time * width
      return time + 1, paths_lib.put(attempts, places, new), cost + spent

    _, attempts, cost = jax.lax.while_loop(
      is_running, refine, (jnp.int32(0), blank, cost)
    )
    index, value = outcome.best(writer, attempts.path)
    return outcome.tell(task, problems, attempts.path, index, value, cost)

  return run


def _blank(first, max_steps, num_rounds) -> Attempts:
  """Return places for all attempts, none of which has been made."""
  batch, width = first.place.shape
  total = width * num_rounds
  wide = lambda x: jnp.tile(x, (1, num_rounds, *[1] * (x.ndim - 2)))
  frontier = jax.tree.map(wide, first)
  path = frontier.path
  zeros = jnp.zeros((batch, total, max_steps), jnp.int32)
  return Attempts(
    path=paths_lib.reject(path, jnp.ones_like(path.over)),
    behind=jax.tree.map(
      lambda x: jnp.broadcast_to(
        x[:, :, None], (batch, total, max_steps, *x.shape[2:])
      ),
      frontier,
    ),
    scores=jnp.pad(_share(path)[..., None], ((0, 0), (0, 0), (0, max_steps))),
    tries=zeros,
    parent=jnp.full((batch, total), -1),
  )


def _rests(writer, path) -> chex.Array:
  """Return the problems of which a solution is known, `[B, 1]`."""
  solved = jnp.any(path.finished & path.solved, axis=1, keepdims=True)
  return solved & writer.settings.checks


def _write(writer, ground, rng_keys, new, frontier):
  """Write on from a frontier `[B, W]` until all paths are over."""
  most = writer.task.max_steps
  everyone, _ = layers.everyone(frontier.path)
  fold = jax.vmap(jax.random.fold_in, (0, None))

  def is_running(carry):
    return parts.anywhere(writer.params, ~jnp.all(carry[1].path.over))

  def step(carry):
    time, frontier, new, cost = carry
    going, depth = ~frontier.path.over, frontier.path.num_steps
    frontier, children, spent = writer.layer(
      ground, fold(rng_keys, time), frontier
    )
    at = jnp.where(going, depth, most + 1)  # beyond all places
    new = new.replace(
      behind=jax.tree.map(lambda x, y: _set(x, at, y), new.behind, frontier),
      scores=_set(new.scores, at + 1, _share(children.path)),
    )
    frontier = writer.reader.adopt(ground, frontier, children, everyone)
    return time + 1, frontier, new, cost + spent

  cost = types.Cost.zeros(rng_keys.shape[0])
  _, frontier, new, cost = jax.lax.while_loop(
    is_running, step, (jnp.int32(0), frontier, new, cost)
  )
  return new.replace(path=frontier.path), cost


def _share(path) -> chex.Array:
  """Return scores in [0, 1], 0 of what is wrong and 1 of a known solution."""
  return jnp.where(path.lives, jnp.clip(path.score, 0.0, 1.0), 0.0)


def _at(x, index):
  """Return `[B, W, ...]` of `[B, W, D, ...]` at `[B, W]` places."""
  rows, columns = jnp.ogrid[: x.shape[0], : x.shape[1]]
  return x[rows, columns, index]


def _set(x, index, new):
  """Write `[B, W, ...]` to `[B, W]` places of `[B, W, D, ...]`."""
  rows, columns = jnp.ogrid[: x.shape[0], : x.shape[1]]
  return x.at[rows, columns, index].set(new, mode="drop")


def _add(x, index, number):
  rows, columns = jnp.ogrid[: x.shape[0], : x.shape[1]]
  return x.at[rows, columns, index].add(number)
