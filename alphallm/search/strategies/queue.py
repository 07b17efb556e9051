"""Strategies that take up one path of many at a time, the most urgent first."""

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
from alphallm.search.truncation import IMPOSSIBLE
from alphallm.tasks import base

# (scores [B, K] of the children of one path, number of that path) -> urgency
Urgency = Callable[[chex.Array, chex.Array], chex.Array]


@chex.dataclass(frozen=True)
class Queue:
  """The paths that wait, `[B, Q]`.

  Attributes:
    time: `[]` int32, paths that have been taken up.
    frontier: the paths; a place that is taken up is free again.
    urgency: float32; `IMPOSSIBLE` at free places.
    seen: `[B, N x K + 1]` uint32, the fingerprints of all states met.
    found: `[B]` int32, the finished path that was taken up; -1: none.
    cost: what was spent.
  """

  time: chex.Array
  frontier: paths_lib.Frontier
  urgency: chex.Array
  seen: chex.Array
  found: chex.Array
  cost: types.Cost


def strategy(
  apply_fn: network.Network,
  task: base.Task,
  settings: writer_lib.Settings,
  guidance: guidance_lib.Guidance,
  *,
  num_expansions: int,
  room: int,
  urgency: Urgency,
  threshold: float | None = None,
) -> Callable[..., play.SearchResult]:
  """Return a strategy `(params, rng_key, problems) -> SearchResult`.

  The most urgent path is taken up: if it is finished, it is the answer; else
  its children join the queue, but for wrong ones, those below the threshold,
  and those that lead to a state met before. A problem rests once it has its
  answer, knows a solution, or has no path that waits. Once N have been taken
  up, the best path that waits is the answer.

  Args:
    apply_fn: the network.
    task: the environment.
    settings: how steps are sampled, and what may be asked.
    guidance: what scores the children.
    num_expansions: N, paths that are taken up at most.
    room: Q, paths that may wait; the least urgent are forgotten.
    urgency: of children.
    threshold: children of lower scores are dropped.

  Raises:
    ValueError: if the paths cannot be written by what may be asked, or a number
      is too small.
  """
  if num_expansions < 1 or room < 1:
    raise ValueError(
      f"num_expansions={num_expansions}, room={room}: both must be at least 1"
    )
  layers.check_written(task, settings, plays=False)
  make = functools.partial(
    writer_lib.Writer, apply_fn, task=task, settings=settings, guidance=guidance
  )
  k = settings.num_candidates

  def run(params: Any, rng_key: chex.PRNGKey, problems: Any):
    rng_keys = play.keys_of(rng_key, problems)
    writer = make(params=params)
    ground, cost = writer.reader.ground(problems)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    batch = rng_keys.shape[0]

    def waits(queue: Queue) -> chex.Array:
      path = queue.frontier.path
      waiting = jnp.max(queue.urgency, axis=1) > IMPOSSIBLE / 2
      return waiting & (queue.found < 0) & ~knows_solution(path)

    def knows_solution(path):
      solved = path.finished & path.solved
      return jnp.any(solved, axis=1) & settings.checks

    def is_running(queue: Queue):
      waiting = parts.anywhere(params, jnp.any(waits(queue)))
      return (queue.time < num_expansions) & waiting

    def take_up(queue: Queue) -> Queue:
      active = waits(queue)
      top = jnp.argmax(queue.urgency, axis=1)[:, None]
      one = paths_lib.take(queue.frontier, top)
      ends = active & one.path.over[:, 0]
      path = one.path.replace(over=one.path.over | ~active[:, None])
      one, children, spent = writer.layer(
        ground, fold(rng_keys, queue.time), one.replace(path=path)
      )
      grows = (active & ~ends)[:, None]
      path = paths_lib.reject(children.path, ~grows)
      seen = queue.seen
      if writer.sees:
        prints = path.state.fingerprint
        known = jnp.any(prints[:, :, None] == seen[:, None], axis=-1)
        is_new = paths_lib.unlike(path) & ~known
        at = 1 + k * queue.time
        noted = jnp.where(path.lives, prints, seen[:, :1])
        seen = jax.lax.dynamic_update_slice_in_dim(seen, noted, at, axis=1)
        path = paths_lib.reject(path, ~is_new)
      if threshold is not None:
        path = paths_lib.reject(path, path.score < threshold)
      urgent = jnp.where(
        path.lives, urgency(path.score, queue.time), IMPOSSIBLE
      )
      rows = jnp.arange(batch)[:, None]
      left = queue.urgency.at[rows, jnp.where(grows, top, room)].set(
        IMPOSSIBLE, mode="drop"
      )
      # The most urgent child goes where the least urgent path waits, the next
      # where the next does, while they are more urgent than those.
      order = jnp.argsort(-urgent, axis=1)[:, :room]
      places = jnp.argsort(left, axis=1)[:, : order.shape[1]]
      urgent = paths_lib.take(urgent, order)
      better = urgent > paths_lib.take(left, places)
      places = jnp.where(better, places, room)
      all_ = jnp.broadcast_to(jnp.arange(k)[None], (batch, k))
      made = writer.reader.adopt(ground, one, children.replace(path=path), all_)
      taken = grows & (jnp.arange(room)[None] == top)
      frontier = queue.frontier
      frontier = frontier.replace(path=paths_lib.reject(frontier.path, taken))
      frontier = paths_lib.put(frontier, places, paths_lib.take(made, order))
      return Queue(
        time=queue.time + 1,
        frontier=frontier,
        urgency=paths_lib.put(left, places, urgent),
        seen=seen,
        found=jnp.where(ends, top[:, 0], queue.found),
        cost=queue.cost + spent,
      )

    frontier = writer.reader.begin(ground, room, 1)
    root = ground.state.fingerprint[:, None]
    queue = jax.lax.while_loop(
      is_running,
      take_up,
      Queue(
        time=jnp.int32(0),
        frontier=frontier,
        urgency=frontier.path.score,
        seen=jnp.tile(root, (1, num_expansions * k + 1)),
        found=jnp.full((batch,), -1, jnp.int32),
        cost=cost,
      ),
    )
    path = queue.frontier.path
    index, value = outcome.best(writer, path)
    index = jnp.where(queue.found < 0, index, queue.found)
    value = paths_lib.take(path.value, index[:, None])[:, 0]
    return outcome.tell(task, problems, path, index, value, queue.cost)

  return run
