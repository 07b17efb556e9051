"""Measuring a policy on held-out problems."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from alphallm import sharding
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


def spread(
  solve: Callable[..., play.SearchResult],
  mesh: jax.sharding.Mesh,
  *,
  parts: Any = None,
) -> Callable[..., play.SearchResult]:
  """Return a solver whose devices each solve a part of a batch; see `each`.

  Args:
    solve: the solver.
    mesh: of the devices.
    parts: as of `sharding.shard_self_play`.
  """
  return sharding.shard_self_play(
    solve, mesh, parts=parts, out_shardings=sharding.replicated(mesh)
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


def batches(
  problems: Any, size: int, first: int = 0
) -> Iterator[tuple[Any, int]]:
  """Cut problems into batches of one size; the last is filled by repeats.

  Args:
    problems: `[n, ...]`.
    size: of a batch.
    first: the first of them that is wanted.

  Yields:
    A batch, and how many of its problems are not repeats.
  """
  total = jax.tree.leaves(problems)[0].shape[0]
  for i in range(first, total, size):
    places = np.arange(i, i + size)
    cut = jax.tree.map(lambda x, p=places: np.asarray(x)[p % total], problems)
    yield cut, min(size, total - i)


def each(
  solve: Callable[..., play.SearchResult],
  params: Any,
  rng_key: jax.Array,
  problems: Any,
  *,
  batch_size: int = 256,
  mesh: jax.sharding.Mesh | None = None,
  first: int = 0,
) -> Iterator[play.SearchResult]:
  """Solve problems; yield the result of each batch, of NumPy arrays.

  Args:
    solve: from `solver`, or `spread`.
    params: of the network.
    rng_key: folded with each problem's index (consumed).
    problems: `[n, ...]`.
    batch_size: problems at a time; fewer if there are fewer.
    mesh: of a solver that is `spread`; a batch has a multiple of its devices,
      more problems if need be.
    first: the first of them that is solved.
  """
  total = jax.tree.leaves(problems)[0].shape[0]
  parts = 1 if mesh is None else mesh.size
  size = -(-min(batch_size, total) // parts) * parts
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  for batch, count in batches(problems, size, first):
    given = fold(rng_key, first + np.arange(size)), batch
    if mesh is not None:
      given = sharding.put(given, sharding.slots(mesh))
    result = jax.device_get(solve(params, *given))
    yield jax.tree.map(lambda x, n=count: x[:n], result)
    first += count


def run(*args: Any, **options: Any) -> play.SearchResult:
  """Solve all problems; see `each`."""
  return jax.tree.map(
    lambda *parts: np.concatenate(parts), *each(*args, **options)
  )


def interval(successes: int, total: int) -> tuple[float, float]:
  """Return Wilson's 95% confidence interval of a share (Wilson, 1927)."""
  z, n = 1.959964, max(total, 1)
  share = successes / n
  middle = (share + z * z / (2 * n)) / (1 + z * z / n)
  spread = math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
  spread *= z / (1 + z * z / n)
  return max(0.0, middle - spread), min(1.0, middle + spread)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
  """Return how likely two methods of equal worth differ as much, `p`.

  McNemar's exact test (1947): of the problems that one of them alone solves,
  each would be the one's or the other's by the toss of a coin. Two-sided.

  Args:
    first: `[n]` bool, which problems the one solves.
    second: `[n]` bool, the other.
  """
  first, second = np.asarray(first, bool), np.asarray(second, bool)
  one, other = int((first & ~second).sum()), int((~first & second).sum())
  n = one + other
  tail = sum(math.comb(n, k) for k in range(min(one, other) + 1))
  return min(1.0, 2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> np.ndarray:
  """Return p-values of several tests, corrected for their number (Holm, 1979).

  The k-th smallest of m is multiplied by m + 1 − k, and made to be at least as
  large as those below it.
  """
  p = np.asarray(p_values, float)
  order = np.argsort(p, kind="stable")
  scaled = (len(p) - np.arange(len(p))) * p[order]
  corrected = np.empty_like(p)
  corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
  return corrected


def pass_at(k: int, num_samples: int, right: np.ndarray) -> float:
  """Return the share of problems that k samples of each would solve.

  The mean of 1 − C(n − c, k) / C(n, k), unbiased (Chen et al., 2021, eq. 1).

  Args:
    k: at most n.
    num_samples: n, samples of each problem.
    right: `[problems]`, c, how many of them are right.
  """
  every = math.comb(num_samples, k)
  missed = [math.comb(num_samples - int(c), k) / every for c in right]
  return 1.0 - float(np.mean(missed))


def calibration(
  values: np.ndarray, solved: np.ndarray, num_bins: int = 10
) -> tuple[float, list[tuple[float, float, int]]]:
  """Compare values with outcomes.

  Args:
    values: `[n]`, in [0, 1], of problems before they are played.
    solved: `[n]` bool.
    num_bins: of equal width.

  Returns:
    The expected calibration error (Guo et al., 2017, eq. 3), and the
    reliability curve: of each bin that is not empty the mean value, the share
    solved, and how many there are.
  """
  values, solved = np.asarray(values, float), np.asarray(solved, bool)
  place = np.clip((values * num_bins).astype(int), 0, num_bins - 1)
  curve, error = [], 0.0
  for i in range(num_bins):
    here = place == i
    if here.any():
      value, share = float(values[here].mean()), float(solved[here].mean())
      curve.append((value, share, int(here.sum())))
      error += here.mean() * abs(value - share)
  return float(error), curve


def tokens(result: play.SearchResult) -> np.ndarray:
  """Return how many tokens the network processed for each problem."""
  return np.asarray(result.cost.decoded) + np.asarray(result.cost.prefilled)
