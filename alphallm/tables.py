"""Methods, measured, as tables in Markdown and in CSV."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from alphallm import measure


@dataclasses.dataclass(frozen=True)
class Row:
  """One method, measured.

  Attributes:
    name: of the method, with its budget.
    asks: what it asked of the environment while it searched.
    solved: `[n]` bool.
    tokens: `[n]`, tokens that the network processed for each problem.
    seconds: for all problems, compilation included if it came first.
    steps: mean number of steps of the solved ones.
    pace: seconds a problem, of the batches after the first, which compiles; NaN
      if there is none.
    budget: of the method.
    guidance: what scored its paths, if not what it is scored by by itself.
    calls: mean passes of the network a problem.
    right: `[n]`, how many of a method's paths solve each problem; None where it
      keeps one path.
    value: `[n]`, what it thinks its answers are worth, in [0, 1]; None where it
      does not tell.
    ease: `[n]`, how easy its samples find each problem; see `search.ease`.
  """

  name: str
  asks: str
  solved: np.ndarray
  tokens: np.ndarray
  seconds: float
  steps: float
  pace: float = float("nan")
  budget: int = 1
  guidance: str = ""
  calls: float = float("nan")
  right: np.ndarray | None = None
  value: np.ndarray | None = None
  ease: np.ndarray | None = None

  @property
  def method(self) -> str:
    """Its name without the budget."""
    return self.name.split(" ")[0].removesuffix(f"_{self.budget}")

  @property
  def reliability(
    self,
  ) -> tuple[float, list[tuple[float, float, int]]] | None:
    """See `measure.calibration`."""
    if self.value is None:
      return None
    return measure.calibration(self.value, self.solved)

  @property
  def share(self) -> float:
    return float(np.mean(self.solved))

  @property
  def coverage(self) -> float | None:
    """Share of the problems that any of its paths solves."""
    return None if self.right is None else float(np.mean(self.right > 0))


def by_method(
  before: list[Row], after: list[Row], first: str = "random weights"
) -> str:
  """Return the rows as a table in Markdown.

  Args:
    before: of the policy before the training; may be empty.
    after: of the one that is measured.
    first: what the policy was before the training.
  """
  names = ["method", "may ask", *[first] * bool(before)]
  names += ["trained" if before else "solved", "95% interval", "steps"]
  names += ["tokens a problem"]
  covers = any(row.coverage is not None for row in after)
  names += ["any path"] * covers
  lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
  for i, row in enumerate(after):
    low, high = measure.interval(int(row.solved.sum()), len(row.solved))
    steps = f"{row.steps:.1f}" if row.solved.any() else "–"
    then = f" {before[i].share:.1%} |" if before else ""
    lines.append(
      f"| {row.name} | {row.asks} |{then} {row.share:.1%} "
      f"| {low:.1%} to {high:.1%} | {steps} | {row.tokens.mean():.0f} |"
      + (f" {_share(row.coverage)} |" if covers else "")
    )
  return "\n".join(lines)


def _share(number: float | None) -> str:
  return "–" if number is None else f"{number:.1%}"


# What is about equal of two methods that are compared.
COSTS = {
  "tokens": lambda row: float(row.tokens.mean()),
  "wall time": lambda row: row.pace,
}
_MOST_PAIRS = 40  # that are read as a table


def pairs(
  rows: list[Row], cost: str = "tokens", ratio: float = 1.25
) -> Iterator[tuple[Row, Row]]:
  """Yield the pairs of rows that cost about as much and may ask the same.

  Args:
    rows: of the same problems.
    cost: one of `COSTS`.
    ratio: how many times the cost of the other, at most.
  """
  for i, row in enumerate(rows):
    for other in rows[i + 1 :]:
      spent = sorted([COSTS[cost](row), COSTS[cost](other)])
      if row.asks == other.asks and spent[1] <= ratio * spent[0]:
        yield row, other


def compared(rows: list[Row], cost: str) -> list[dict[str, Any]]:
  """Return how the pairs of about equal cost differ, by McNemar's test."""
  return [
    {
      "equal": cost,
      "method": row.name,
      "against": other.name,
      "alone": int((row.solved & ~other.solved).sum()),
      "other_alone": int((~row.solved & other.solved).sum()),
      "p": measure.mcnemar(row.solved, other.solved),
    }
    for row, other in pairs(rows, cost)
  ]


def at_equal_cost(rows: list[Row], cost: str = "tokens") -> str:
  """Return the pairs of methods that cost about the same, as a table.

  Of more pairs than one reads, those of tree search.
  """
  found = compared(rows, cost)
  if len(found) > _MOST_PAIRS:
    found = [x for x in found if "mcts_" in x["method"] + x["against"]]
  if not found:
    return ""
  lines = [
    "| method | against | it alone solves | the other alone | p |",
    "|---|---|---|---|---|",
  ]
  lines += [
    f"| {x['method']} | {x['against']} | {x['alone']} | {x['other_alone']} "
    f"| {x['p']:.2g} |"
    for x in found
  ]
  return "\n".join(lines)


def write_pairs(rows: list[Row], path) -> pathlib.Path:
  """Write all pairs of about equal cost as CSV; return the path."""
  path = pathlib.Path(path)
  with path.open("w", newline="") as file:
    names = ["equal", "method", "against", "alone", "other_alone", "p"]
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    for cost in COSTS:
      writer.writerows(compared(rows, cost))
  return path


def figures(rows: list[Row]) -> dict[str, Any]:
  """Return what is told of the rows, by name, for a summary."""
  told: dict[str, Any] = {}
  for row in rows:
    name, count = row.name.split(" ")[0], len(row.solved)
    told[name] = row.share
    low, high = measure.interval(int(row.solved.sum()), count)
    told[f"{name}_interval"] = [low, high]
    told[f"{name}_tokens"] = float(row.tokens.mean())
    if np.isfinite(row.pace):
      told[f"{name}_seconds_a_problem"] = row.pace
    told[f"{name}_permission"] = row.asks
    if row.coverage is not None:
      told[f"{name}_any_path"] = row.coverage
    if row.right is not None and row.method == "sampling":
      told[f"{name}_pass_at"] = {
        str(k): measure.pass_at(k, row.budget, row.right)
        for k in range(1, row.budget + 1)
        if k & (k - 1) == 0 or k == row.budget
      }
    if row.reliability is not None:
      error, curve = row.reliability
      told[f"{name}_calibration_error"] = error
      told[f"{name}_reliability"] = curve
  return told


def write_csv(rows: list[Row], path) -> pathlib.Path:
  """Write a line for each row; return the path."""
  path = pathlib.Path(path)
  with path.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(
      "method budget permission guidance problems solved low high any_path "
      "steps tokens calls seconds pace calibration_error".split()
    )
    for row in rows:
      count = len(row.solved)
      low, high = measure.interval(int(row.solved.sum()), count)
      numbers = [row.share, low, high, row.coverage, row.steps]
      numbers += [row.tokens.mean(), row.calls, row.seconds, row.pace]
      numbers += [row.reliability and row.reliability[0]]
      named = [row.name, row.budget, row.asks, row.guidance, count]
      writer.writerow(
        [*named, *("" if x is None else f"{x:.6g}" for x in numbers)]
      )
  return path


def by_level(levels: np.ndarray, rows: list[Row]) -> str:
  """Return what the rows solved by level, as a table in Markdown."""
  lines = [
    "| level | problems | " + " | ".join(row.name for row in rows) + " |",
    "|---" * (2 + len(rows)) + "|",
  ]
  for level in np.unique(levels):
    here = levels == level
    shares = [f"{np.mean(row.solved[here]):.1%}" for row in rows]
    lines.append(f"| {level} | {here.sum()} | " + " | ".join(shares) + " |")
  return "\n".join(lines)
