"""Which method is best at a budget, for problems as hard as one is.

Snell et al., 2024, "Scaling LLM test-time compute optimally": problems are put
into bins by how easy the policy's own samples find them (`search.ease`), and in
each bin the method that solves most is chosen. Chosen on every other problem
and measured on the rest, both ways round, the choice does not flatter itself.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from alphallm import measure, tables, values

FILE = "compute_optimal.json"
_ASKS = "nothing", "rules", "checker"
_MOST = 1.25  # times the tokens of a level that a method may spend


@dataclasses.dataclass(frozen=True)
class Level:
  """The choice at a budget.

  Attributes:
    budget: of best-of-N, whose tokens others may spend as well.
    tokens: those, mean of a problem.
    methods: the names of the chosen, for the hardest problems first.
    shares: what each of them solves, of the problems of its bin.
    single: the name of the method that is best for all problems alike.
    crossed: `[n]` bool, what the choice solves, chosen on other problems.
    single_crossed: `[n]` bool, the same of one method for all.
  """

  budget: int
  tokens: float
  methods: tuple[str, ...]
  shares: tuple[float, ...]
  single: str
  crossed: np.ndarray
  single_crossed: np.ndarray


@dataclasses.dataclass(frozen=True)
class Table:
  """The choices at all budgets.

  Attributes:
    asks: what may be asked.
    guidance: what guides methods, if not what each takes by itself.
    num_samples: samples that tell how easy a problem is.
    edges: between the bins, ascending.
    counts: problems of each bin, the hardest first.
    levels: by budget, ascending.
  """

  asks: str
  guidance: str
  num_samples: int
  edges: tuple[float, ...]
  counts: tuple[int, ...]
  levels: tuple[Level, ...]


def make(rows: Sequence[tables.Row], num_bins: int = 5) -> Table | None:
  """Return the table of methods that solved the same problems.

  Args:
    rows: the methods. How easy a problem is, the smallest best-of-N of 4 or
      more tells, or else the largest.
    num_bins: at most; problems that are equally easy share one.

  Returns:
    None without a best-of-N beside which there is another method.
  """
  samples = [r for r in rows if r.method == "best_of_n" and r.ease is not None]
  if not samples or len(rows) < 2:
    return None
  samples.sort(key=lambda row: row.budget)
  pilot = next((row for row in samples if row.budget >= 4), samples[-1])
  quantiles = np.quantile(pilot.ease, np.arange(1, num_bins) / num_bins)
  edges = np.unique(quantiles)
  edges = edges[edges < pilot.ease.max()]  # none behind is left empty
  place = np.searchsorted(edges, pilot.ease)
  allowed = _ASKS[: _ASKS.index(pilot.asks) + 1]
  rows = [row for row in rows if row.asks in allowed]
  return Table(
    asks=pilot.asks,
    guidance=pilot.guidance,
    num_samples=pilot.budget,
    edges=tuple(map(float, edges)),
    counts=tuple(map(int, np.bincount(place, minlength=len(edges) + 1))),
    levels=tuple(_level(row, rows, place, len(edges) + 1) for row in samples),
  )


def _level(level, rows, place, num_bins) -> Level:
  most = _MOST * level.tokens.mean()
  rows = [row for row in rows if row.tokens.mean() <= most]
  solved = np.array([row.solved for row in rows])
  order = np.argsort([row.tokens.mean() for row in rows], kind="stable")

  def best(among):
    """Return the row that solves most of some problems, of equals the cheap."""
    counts = solved[order][:, among].sum(axis=1)
    return int(order[np.argmax(counts)])

  crossed = np.zeros((2, len(place)), bool)
  odd = np.arange(len(place)) % 2 == 1
  for half in (odd, ~odd):
    crossed[1, ~half] = solved[best(half)][~half]
    for i in range(num_bins):
      here = place == i
      chosen = best(half & here)
      crossed[0, ~half & here] = solved[chosen][~half & here]
  chosen = [best(place == i) for i in range(num_bins)]
  shares = [float(solved[c][place == i].mean()) for i, c in enumerate(chosen)]
  everything = np.ones(len(place), bool)
  return Level(
    budget=level.budget,
    tokens=float(level.tokens.mean()),
    methods=tuple(rows[i].name for i in chosen),
    shares=tuple(shares),
    single=rows[best(everything)].name,
    crossed=crossed[0],
    single_crossed=crossed[1],
  )


def as_markdown(table: Table) -> str:
  """Return the table for a person, in Markdown."""
  uppers = [f"up to {edge:.2f}" for edge in table.edges]
  names = ["budget", "tokens", *uppers, "above" if uppers else "all"]
  names += ["by difficulty", "one for all", "p"]
  counts = [f"{count} problems" for count in table.counts]
  lines = [
    f"| {' | '.join(names)} |",
    "|---" * len(names) + "|",
    f"| | | {' | '.join(counts)} | | | |",
  ]
  for level in table.levels:
    p = measure.mcnemar(level.crossed, level.single_crossed)
    chosen = [
      f"{name} {share:.0%}"
      for name, share in zip(level.methods, level.shares, strict=True)
    ]
    cells = [str(level.budget), f"{level.tokens:.0f}", *chosen]
    cells += [f"{level.crossed.mean():.1%}"]
    cells += [f"{level.single_crossed.mean():.1%} ({level.single})", f"{p:.2g}"]
    lines.append(f"| {' | '.join(cells)} |")
  return "\n".join(lines)


def as_figures(table: Table, source: str) -> dict:
  """Return the table as it is written into JSON.

  Args:
    table: of methods.
    source: where the problems came from.
  """
  return {
    "asks": table.asks,
    "guidance": table.guidance,
    "num_samples": table.num_samples,
    "edges": list(table.edges),
    "problems": list(table.counts),
    "source": source,
    "levels": {
      str(level.budget): {
        "tokens": level.tokens,
        "methods": list(level.methods),
        "solved": list(level.shares),
        "by_difficulty": float(level.crossed.mean()),
        "one_for_all": float(level.single_crossed.mean()),
      }
      for level in table.levels
    },
  }


def read(folder) -> dict:
  """Return the figures that an evaluation wrote into a folder.

  Raises:
    UserError: one line, if they are not there, or damaged.
  """
  path = pathlib.Path(folder) / FILE
  try:
    figures = json.loads(path.read_text())
    known = all(
      isinstance(figures[k], str) for k in ("asks", "guidance", "source")
    )
    known &= isinstance(figures["num_samples"], int)
    for level in figures["levels"].values():
      known &= len(level["methods"]) == len(figures["edges"]) + 1
    if not known:
      raise ValueError("a value of another kind")
  except OSError as error:
    raise values.UserError(
      f"auto needs {path}: evaluate with --methods all and --budgets first"
    ) from error
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise values.UserError(f"{path} is damaged; evaluate anew") from error
  return figures
