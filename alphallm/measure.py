"""Measuring a policy on held-out problems."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from alphallm.search import play, tree_search
from alphallm.tasks import base


def solver(
  apply_fn: Callable[..., Any],
  task: base.Task,
  config: tree_search.SearchConfig,
) -> Callable[..., play.SearchResult]:
  """Return the jitted `f(params, rng_keys, problems) -> SearchResult`."""
  return jax.jit(
    lambda params, rng_keys, problems: play.solve(
      apply_fn, task, config, params, rng_keys, problems
    )
  )


def held_out(task: base.Task, count: int, level: int = 0) -> Any:
  """Draw problems of the test split, always the same ones: `[count, ...]`.

  Args:
    task: the environment.
    count: how many.
    level: the only level of the problems; 0: all levels.
  """
  rng = np.random.default_rng(0)
  if not level:
    return task.sample_numpy(rng, count, "test")
  kept, missing = [], count
  while missing > 0:
    drawn = task.sample_numpy(rng, count, "test", level=level)
    wanted = np.flatnonzero(task.level_of(drawn) == level)[:missing]
    kept.append(jax.tree.map(lambda x, w=wanted: x[w], drawn))
    missing -= len(wanted)
  return jax.tree.map(lambda *parts: np.concatenate(parts), *kept)


def batches(problems: Any, size: int) -> Iterator[tuple[Any, int]]:
  """Cut problems into batches of one size; the last is filled by repeats.

  Yields:
    A batch, and how many of its problems are not repeats.
  """
  total = jax.tree.leaves(problems)[0].shape[0]
  for first in range(0, total, size):
    places = np.arange(first, first + size)
    cut = jax.tree.map(lambda x, p=places: np.asarray(x)[p % total], problems)
    yield cut, min(size, total - first)


def run(
  solve: Callable[..., play.SearchResult],
  params: Any,
  rng_key: jax.Array,
  problems: Any,
  *,
  batch_size: int = 256,
) -> play.SearchResult:
  """Solve all problems, batch by batch; a result of NumPy arrays.

  Args:
    solve: from `solver`.
    params: of the network.
    rng_key: folded with each problem's index (consumed).
    problems: `[n, ...]`.
    batch_size: problems at a time; fewer if there are fewer.
  """
  total = jax.tree.leaves(problems)[0].shape[0]
  size = min(batch_size, total)
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  results = []
  for i, (batch, count) in enumerate(batches(problems, size)):
    keys = fold(rng_key, i * size + np.arange(size))
    result = jax.device_get(solve(params, keys, batch))
    results.append(jax.tree.map(lambda x, n=count: x[:n], result))
  return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def interval(successes: int, total: int) -> tuple[float, float]:
  """Return Wilson's 95% confidence interval of a share (Wilson, 1927)."""
  z, n = 1.959964, max(total, 1)
  share = successes / n
  middle = (share + z * z / (2 * n)) / (1 + z * z / n)
  spread = math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
  spread *= z / (1 + z * z / n)
  return max(0.0, middle - spread), min(1.0, middle + spread)


def tokens(result: play.SearchResult) -> np.ndarray:
  """Return how many tokens the network processed for each problem."""
  return np.asarray(result.cost.decoded) + np.asarray(result.cost.prefilled)
