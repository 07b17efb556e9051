"""The strategy that suits a problem: samples tell how hard it is."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import parts
from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import best_of_n
from alphallm.search.strategies import paths as paths_lib
from alphallm.tasks import base


def auto(
  apply_fn: network.Network,
  task: base.Task,
  *,
  choices: Sequence[Callable[..., play.SearchResult]],
  edges: Sequence[float],
  num_samples: int = 4,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  The compute-optimal choice (Snell et al., 2024, section 3): a few samples of a
  problem tell how easy it is, and that which strategy solves it. The samples
  are counted; one that is known to be right is the answer. A batch takes the
  time of every strategy that any of its problems chose.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    choices: strategies, for the hardest problems first; they are called as this
      one is.
    edges: ascending, between how easy the problems of two choices are; see
      `ease`.
    num_samples: of each problem.
    **settings: of `Settings`, for the samples.

  Raises:
    ValueError: unless there is one more choice than edges, in ascending order.
  """
  if len(choices) != len(edges) + 1 or list(edges) != sorted(edges):
    raise ValueError(
      f"auto: {len(choices)} choices and edges={tuple(edges)}: one more choice "
      "than edges is needed, which ascend"
    )
  sample = best_of_n.best_of_n(
    apply_fn, task, num_samples=num_samples, **settings
  )
  checks = settings.get("permission", "checker") == "checker"

  def run(params: Any, rng_key: chex.PRNGKey, problems: Any):
    rng_keys = play.keys_of(rng_key, problems)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    tried = sample(params, fold(rng_keys, 0), problems)
    found, spent = _plain(tried), tried.cost
    place = jnp.searchsorted(jnp.asarray(edges), ease(tried.paths))
    is_open = ~(tried.solved & checks)
    for choice in dict.fromkeys(choices):
      mine = [i for i, other in enumerate(choices) if other is choice]
      chosen = is_open & jnp.isin(place, jnp.asarray(mine))
      use = lambda found, choice=choice: _plain(
        choice(params, fold(rng_keys, 1), problems)
      )
      other = jax.lax.cond(
        parts.anywhere(params, jnp.any(chosen)), use, lambda found: found, found
      )
      other = other.replace(cost=other.cost + spent)
      found = paths_lib.where(chosen, other, found)
    return found

  return run


def ease(path: paths_lib.Path) -> chex.Array:
  """Return how easy problems are, as samples of them tell, `[B]` in [0, 1].

  The mean of their values, 0 of what is known to be wrong. Where the checker
  was asked, that is the share of them that are right.

  Args:
    path: `[B, W]`, the samples.
  """
  return jnp.mean(jnp.where(path.lives, path.value, 0.0), axis=1)


def _plain(result: play.SearchResult) -> play.SearchResult:
  """Return what the results of all strategies have in common."""
  episode = result.episode
  first = lambda x: x[:, :, :1]
  return result.replace(
    paths=None,
    tree=None,
    episode=episode.replace(
      candidates=first(episode.candidates),
      candidate_lengths=first(episode.candidate_lengths),
      weights=first(episode.weights),
    ),
  )
