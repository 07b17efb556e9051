"""The search on the host, a move at a time, so that each is seen at once."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax

from alphallm.models import network
from alphallm.search import play, tree_search
from alphallm.tasks import base


def moves(
  apply_fn: network.Network,
  task: base.Task,
  config: tree_search.SearchConfig,
) -> Callable[..., Iterator[tuple[tree_search.Move, play.Trace]]]:
  """Return the search `(params, rng_keys, problems) -> moves`.

  The moves are those of `play.solve` with the same keys. Each is searched when
  it is asked for, all by one compiled program, until all problems are over.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    config: how each move is searched.

  Returns:
    A generator function. Its arguments are the parameters of the network,
    `[B]` keys (consumed) and B problems; it yields what a search found, without
    its cache, and the episodes after the move.
  """
  fold = jax.vmap(jax.random.fold_in, (0, None))

  @jax.jit
  def begin(params, rng_keys, problems):
    start = lambda problem: play.start(task, config.num_candidates, problem)
    trace = jax.vmap(start)(problems)
    return trace, tree_search.no_forest(
      apply_fn, task, config, params, rng_keys, trace.state, trace.context
    )

  @functools.partial(jax.jit, donate_argnames=("forest",))
  def search(params, rng_keys, move, trace, forest):
    keys = fold(rng_keys, move)
    found, trace, forest = play.advance(
      apply_fn, task, config, params, keys, trace, forest
    )
    return found.replace(cache=()), trace, forest

  def run(
    params: Any, rng_keys: chex.PRNGKey, problems: Any
  ) -> Iterator[tuple[tree_search.Move, play.Trace]]:
    trace, forest = begin(params, rng_keys, problems)
    for move in range(task.max_steps):
      if trace.state.terminated.all():
        return
      found, trace, forest = search(params, rng_keys, move, trace, forest)
      yield found, trace

  return run
