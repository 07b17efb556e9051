"""Methods, measured, as tables in Markdown."""

import dataclasses

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
  """

  name: str
  asks: str
  solved: np.ndarray
  tokens: np.ndarray
  seconds: float
  steps: float

  @property
  def share(self) -> float:
    return float(np.mean(self.solved))


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
  lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
  for i, row in enumerate(after):
    low, high = measure.interval(int(row.solved.sum()), len(row.solved))
    steps = f"{row.steps:.1f}" if row.solved.any() else "–"
    then = f" {before[i].share:.1%} |" if before else ""
    lines.append(
      f"| {row.name} | {row.asks} |{then} {row.share:.1%} "
      f"| {low:.1%} to {high:.1%} | {steps} | {row.tokens.mean():.0f} |"
    )
  return "\n".join(lines)


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
