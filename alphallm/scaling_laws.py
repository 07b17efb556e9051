"""Power laws of failure in compute, fitted to cells of a grid."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cell:
  """What one choice of budgets came to.

  Attributes:
    parameters: of the network.
    simulations: of the search in training, a move.
    iterations: rounds of learning.
    budget: of the search at the test, simulations a move; 0: greedy.
    solved: of the held-out problems.
    problems: how many there are.
    training: floating-point operations of self-play and learning.
    test: floating-point operations of a problem of the test.
  """

  parameters: int
  simulations: int
  iterations: int
  budget: int
  solved: int
  problems: int
  training: float
  test: float


_ROUNDS = 8  # in which weights and misfit of a fit settle
# By what a law varies: which compute that changes. All else is held fixed.
AXES = {
  "simulations": "training",
  "iterations": "training",
  "budget": "test",
  "parameters": "training",
}


@dataclasses.dataclass(frozen=True)
class Law:
  """log failure = intercept of the series − exponent · log compute.

  Attributes:
    axis: what varies, of `AXES`.
    exponent: shared by all series.
    interval: of 95%, by the bootstrap.
    intercepts: of each series.
    series: the cells of each, in order of their compute.
    residual: root of the weighted mean square of the rest, nats of failure.
    explained: share of the weighted variance within the series that the law
      explains.
  """

  axis: str
  exponent: float
  interval: tuple[float, float]
  intercepts: np.ndarray
  series: list[list[Cell]]
  residual: float
  explained: float

  def failure(self, number: int, compute: np.ndarray) -> np.ndarray:
    """Return the fitted curve of a series."""
    return np.exp(self.intercepts[number]) * compute**-self.exponent


def compute_of(axis: str, cell: Cell) -> float:
  """Return the compute that an axis changes."""
  return getattr(cell, AXES[axis])


def series_of(axis: str, cells: Sequence[Cell]) -> list[list[Cell]]:
  """Return the cells that differ in one axis alone, series of two or more."""
  found = collections.defaultdict(list)
  for cell in cells:
    fixed = tuple(getattr(cell, name) for name in AXES if name != axis)
    found[fixed].append(cell)
  order = lambda cell: compute_of(axis, cell)
  return [sorted(s, key=order) for s in found.values() if len(s) > 1]


def fit(
  axis: str, cells: Sequence[Cell], *, num_draws: int = 1_000, seed: int = 0
) -> Law:
  """Fit a law by weighted least squares with an intercept for each series.

  A failure rate is (missed + 1/2) / (problems + 1), so that none is zero. Its
  logarithm strays from the law by the variance of its count, (1 − f) / (n f),
  and by a misfit of the law that all cells share, and weighs accordingly
  (random effects, DerSimonian and Laird, 1986). The bootstrap draws series with
  replacement, and in each the counts anew.

  Args:
    axis: of `AXES`.
    cells: of the grid.
    num_draws: of the bootstrap.
    seed: of it.

  Raises:
    ValueError: if no two cells differ in this axis alone.
  """
  series = series_of(axis, cells)
  if not series:
    raise ValueError(f"no two cells differ in {axis} alone")
  of = np.repeat(np.arange(len(series)), [len(s) for s in series])
  flat = [cell for s in series for cell in s]
  x = np.log([compute_of(axis, cell) for cell in flat])
  total = np.array([cell.problems for cell in flat])
  missed = total - [cell.solved for cell in flat]
  exponent, intercepts, weight = _fit(x, missed, total, of)
  y = np.log(_rate(missed, total))
  rest = y - (intercepts[of] - exponent * x)
  spread = np.sum(weight * (y - _means(y, weight, of)[of]) ** 2)
  unexplained = np.sum(weight * rest**2)

  rng = np.random.default_rng(seed)
  drawn = []
  for _ in range(num_draws):
    chosen = rng.integers(len(series), size=len(series))
    places = [np.flatnonzero(of == number) for number in chosen]
    fresh = np.repeat(np.arange(len(chosen)), [len(p) for p in places])
    at = np.concatenate(places)
    counts = rng.binomial(total[at], _rate(missed[at], total[at]))
    drawn.append(_fit(x[at], counts, total[at], fresh)[0])
  low, high = np.quantile(drawn, [0.025, 0.975])
  return Law(
    axis=axis,
    exponent=float(exponent),
    interval=(float(low), float(high)),
    intercepts=intercepts,
    series=series,
    residual=float(np.sqrt(unexplained / np.sum(weight))),
    explained=float(1 - unexplained / spread) if spread else 0.0,
  )


def _rate(missed, total):
  return (missed + 0.5) / (total + 1)


def _means(values, weight, of):
  """Return the weighted mean of each series."""
  return np.bincount(of, weight * values) / np.bincount(of, weight)


def _fit(x, missed, total, of):
  """Return the exponent, the intercept of each series, and the weights."""
  rate = _rate(missed, total)
  y, noise, misfit = np.log(rate), (1 - rate) / (total * rate), 0.0
  for _ in range(_ROUNDS):
    weight = 1 / (noise + misfit)
    x_mean, y_mean = _means(x, weight, of), _means(y, weight, of)
    dx, dy = x - x_mean[of], y - y_mean[of]
    exponent = -np.sum(weight * dx * dy) / np.sum(weight * dx * dx)
    misfit = max(0.0, np.mean((dy + exponent * dx) ** 2 - noise))
  return exponent, y_mean + exponent * x_mean, weight


def frontier(cells: Sequence[Cell], served: int) -> list[tuple[float, Cell]]:
  """Return the cells that no cheaper one is as good as.

  Args:
    cells: of the grid.
    served: problems of the test that a training pays for.

  Returns:
    The total compute, training + served · test, and the cell; both ascend.
  """
  cost = lambda cell: cell.training + served * cell.test
  best, kept = -1.0, []
  for cell in sorted(cells, key=lambda c: (cost(c), -c.solved / c.problems)):
    if cell.solved / cell.problems > best:
      best = cell.solved / cell.problems
      kept.append((cost(cell), cell))
  return kept
