"""What methods come to beside each other: in words, files and pictures."""

import pathlib
from typing import Any

import numpy as np

from alphallm import compute_optimal, metrics, plots, tables, verdict
from alphallm import config as config_lib


def tell(
  run: config_lib.Run,
  problems: Any,
  source: str,
  before: list[tables.Row],
  after: list[tables.Row],
  first: str,
  workdir: pathlib.Path,
  *,
  by_budgets: bool,
) -> dict[str, Any]:
  """Print tables and a verdict; write rows, pairs and a picture.

  Args:
    run: of the policy.
    problems: `[n, ...]`, all that were measured.
    source: where they come from, in words.
    before: rows of the policy with which the training began; may be empty.
    after: rows of the policy that is measured.
    first: what the first policy is called.
    workdir: of the run, where the files go.
    by_budgets: whether methods had budgets, by which the best is chosen.

  Returns:
    The figures of the summary.
  """
  print("\n" + tables.by_method(before, after, first) + "\n")
  for cost in tables.COSTS:
    equal = tables.at_equal_cost(after, cost)
    if equal:
      print(
        f"at about equal {cost}, of those that may ask the same, by McNemar's "
        "exact test (of many pairs some differ by chance: p is not corrected "
        f"for their number):\n\n{equal}\n"
      )
  judged = verdict.of(after)
  print("\n".join(["verdict:", *(f"  {line}" for line in judged), ""]))
  figures = tables.figures(after) | {
    f"{row.name.split(' ')[0]}_{first.replace(' ', '_')}": row.share
    for row in before
  }
  count = len(after[0].solved)
  figures |= {"num_problems": count, "problems": source, "verdict": judged}
  if by_budgets:
    figures |= _tell_optimal(after, source, workdir)
  if len(run.task.levels) > 1:
    figures |= _tell_levels(run.task.level_of(problems), after)
  print(f"table: {tables.write_csv(after, workdir / 'evaluation.csv')}")
  print(f"pairs: {tables.write_pairs(after, workdir / 'evaluation_pairs.csv')}")
  drawn = {}
  for row in after:
    point = float(row.tokens.mean()), row.share
    drawn.setdefault(row.method, []).append(point)
  picture = plots.against_tokens(drawn, workdir / "evaluation.png")
  if picture:
    print(f"against tokens: {picture}")
  return figures


def _tell_optimal(rows, source, workdir) -> dict[str, Any]:
  """Tell the best method of each budget, for `--methods auto`."""
  optimal = compute_optimal.make([r for r in rows if r.method != "auto"])
  if optimal is None:
    return {}
  print(
    "the best method by how easy samples find a problem, at a budget; chosen "
    "on one half of the problems and measured on the other:\n\n"
    f"{compute_optimal.as_markdown(optimal)}\n"
  )
  chosen = compute_optimal.as_figures(optimal, source)
  path = metrics.write_json(workdir / compute_optimal.FILE, chosen)
  print(f"table for --methods auto: {path}")
  return {"compute_optimal": chosen}


def _tell_levels(levels, rows) -> dict[str, Any]:
  """Tell the shares of each level of the task."""
  print(tables.by_level(levels, rows) + "\n")
  return {
    "by_level": {
      str(level): {
        row.name.split(" ")[0]: float(np.mean(row.solved[levels == level]))
        for row in rows
      }
      for level in np.unique(levels)
    }
  }
