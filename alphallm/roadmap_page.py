"""The page of the roadmap: recipes in five slots, and what each slot adds."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from alphallm import measure, phases, plots, report


def sections(
  rows: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, str]
) -> list[report.Section]:
  """Return the page.

  Args:
    rows: by name, as of `row_of`, or only `why` there is none.
    pictures: names of files, of `success` and `tokens`.
  """
  whole = {name: row for name, row in rows.items() if "why" not in row}
  recipes = {k: r for k, r in rows.items() if not k.startswith("alphazero,")}
  parts = [
    report.Section(
      title="Five slots",
      text=(
        "Success on held-out problems by the test search: of the first policy, "
        "and of what has become of it. In brackets: intervals of 95%. Tokens "
        "of training are those of documents, of samples and labels of a reward "
        "model, and of self-play."
      ),
      header=(
        "recipe",
        *(slot.replace("_", " ") for slot in phases.SLOTS),
        "may ask",
        "before",
        "after",
        "training tokens",
        "test tokens a problem",
      ),
      rows=[_line(name, row) for name, row in recipes.items()],
      picture=pictures.get("success", ""),
    )
  ]
  added = _added(whole)
  if added:
    parts.append(
      report.Section(
        title="What each slot adds",
        text=(
          "AlphaZero with one slot changed at a time. The difference is "
          "AlphaZero less the other, on the same problems; p is of McNemar's "
          "exact test, not corrected for the number of rows."
        ),
        header=("slot", "instead", "success", "difference", "p"),
        rows=added,
      )
    )
  if pictures.get("tokens"):
    parts.append(
      report.Section(title="Success and tokens", picture=pictures["tokens"])
    )
  for name, row in whole.items():
    parts.append(
      report.Section(
        title=f"{name}: what it writes",
        text=row["problem"],
        written=row["written"],
      )
    )
  return parts


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
  if "why" in row:
    empty = ["–"] * (len(phases.SLOTS) - 1)
    return [name, f"not run: {row['why']}", *empty, *["–"] * 5]
  return [
    name,
    *(row["slots"][slot] for slot in phases.SLOTS),
    row["asks"],
    _share(row["before"]),
    _share(row["after"]),
    f"{sum(row['train_tokens'].values()):,}",
    f"{row['test_tokens']:,.0f}",
  ]


def _solved(digits: str) -> np.ndarray:
  return np.array([digit == "1" for digit in digits])


def _share(digits: str) -> str:
  solved = _solved(digits)
  low, high = measure.interval(int(solved.sum()), len(solved))
  return f"{solved.mean():.1%} ({low:.1%} to {high:.1%})"


def _added(rows: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
  """Return a line for each slot of AlphaZero that was changed."""
  lines = []
  for slot in phases.SLOTS if "alphazero" in rows else ():
    other = rows.get(f"alphazero, another {slot}")
    if other is None:
      continue
    ours, theirs = (_solved(row["after"]) for row in (rows["alphazero"], other))
    words = [row["slots"][slot] for row in (rows["alphazero"], other)]
    lines.append(
      [
        slot.replace("_", " "),
        f"{words[1]} for {words[0]}",
        _share(other["after"]),
        f"{ours.mean() - theirs.mean():+.1%}",
        f"{measure.mcnemar(ours, theirs):.2g}",
      ]
    )
  return lines


def draw(rows: Mapping[str, Any], workdir: pathlib.Path) -> dict[str, str]:
  """Draw the pictures; return the names of those that could be."""
  whole = {name: row for name, row in rows.items() if "why" not in row}
  if not whole:
    return {}
  counts = lambda digits: (digits.count("1"), len(digits))
  bars = {
    name: {side: counts(row[side]) for side in ("before", "after")}
    for name, row in whole.items()
  }
  points = {
    name: [(row["test_tokens"], row["after"].count("1") / len(row["after"]))]
    for name, row in whole.items()
  }
  drawn = {
    "success": plots.successes(bars, workdir / "success.png"),
    "tokens": plots.against_tokens(points, workdir / "tokens.png"),
  }
  return {name: path.name for name, path in drawn.items() if path}
