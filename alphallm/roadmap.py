"""Every recipe of the roadmap at one budget, and what each slot adds: one page.

python -m alphallm.roadmap --workdir DIR --budget small
    [--task countdown] [--only alphazero,openr] [--pretrained PATH]

A recipe is a file of configs/recipes/, see configs/recipes/slots.py. Each is
trained in a folder of DIR and measured on the same held-out problems: its first
policy, and what has become of it. The same command goes on with what was
stopped; what is finished is not repeated. DIR/roadmap.md and DIR/roadmap.html
are the page.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from alphallm import (
  checkpoint,
  evaluation,
  judges,
  measure,
  methods,
  metrics,
  phases,
  plots,
  program,
  report,
  runs,
  train,
  values,
)
from alphallm import config as config_lib

RECIPES = (
  "g1",
  "thinking_claude",
  "open_o1",
  "o1_journey_1",
  "o1_journey_2",
  "openr",
  "still_1",
  "still_2",
  "marco_o1",
  "o1_coder",
  "alphazero",
)
_CHANGED = "one_changed"
_PROBLEMS = {"ci": 16, "small": 500, "full": 1_000}
_TITLE = "The roadmap's recipes"

_BUDGET = flags.DEFINE_enum(
  "budget", "small", list(_PROBLEMS), "How much each recipe may spend."
)
_TASK = flags.DEFINE_string("task", "countdown", "Which task; see slots.py.")
_ONLY = flags.DEFINE_list(
  "only", None, "Which recipes, and one_changed; by default all."
)
_FOLDER = flags.DEFINE_string(
  "recipes", "configs/recipes", "Where the files of recipes are."
)
_PRETRAINED = flags.DEFINE_string(
  "pretrained", None, "The pretrained model of recipes that begin with one."
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """A recipe to be run.

  Attributes:
    name: in the table, and of its folder.
    recipe: name of the file.
    argument: of its `get_config`.
    folder: of its run; another entry's, if the trainings are the same.
  """

  name: str
  recipe: str
  argument: str
  folder: str


def entries(names: Sequence[str], task: str, budget: str) -> list[Entry]:
  """Return what is to be run, the changes of AlphaZero's slots one by one."""
  made = [
    Entry(name, name, f"{task},{budget}", name)
    for name in names
    if name != _CHANGED
  ]
  for slot in phases.SLOTS if _CHANGED in names else ():
    name = f"alphazero, another {slot}"
    folder = "alphazero" if slot == "test_search" else f"{_CHANGED}_{slot}"
    made.append(Entry(name, _CHANGED, f"{task},{budget},{slot}", folder))
  return made


def measured(
  config: Any, workdir: pathlib.Path, kept: pathlib.Path, num_problems: int
) -> dict[str, Any]:
  """Train a recipe and measure it: its first policy, and the last.

  Args:
    config: of the recipe.
    workdir: of its run.
    kept: where the measurement is kept, so that it goes on.
    num_problems: held out.
  """
  figures = train.run(config, workdir)
  plain = phases.plain(config, workdir)
  run = judges.guided(config_lib.make_run(plain, workdir))
  names, budgets = phases.test_search(config)
  compared, refused = methods.strategies(run, names, budgets or [1])
  if refused:
    raise values.UserError(refused[0])
  problems = measure.held_out(run.task, num_problems)
  evaluated = evaluation.Evaluation(run, problems, compared)
  key = json.dumps(plain.to_dict(), sort_keys=True)
  params = runs.load_first(run)
  before, found = evaluated.measure(params, kept / "before", key)
  after = before
  if checkpoint.any_in(workdir / "checkpoints"):
    params, _ = runs.load(run, workdir)
    after, found = evaluated.measure(params, kept / "after", key)
  return {
    "slots": config.slots.to_dict(),
    "method": after[-1].name,
    "asks": after[-1].asks,
    "before": _digits(before[-1].solved),
    "after": _digits(after[-1].solved),
    "test_tokens": float(np.mean(after[-1].tokens)),
    "train_tokens": phases.tokens_spent(workdir),
    "train_seconds": figures["train_seconds"],
    "problem": run.task.describe(jax.tree.map(lambda x: x[0], problems)),
    "written": _written(run.task, found[compared[-1].name]),
  }


def _digits(solved: np.ndarray) -> str:
  return "".join("01"[int(x)] for x in solved)


def _solved(digits: str) -> np.ndarray:
  return np.array([digit == "1" for digit in digits])


def _written(task, found: evaluation.Found) -> str:
  """Return the steps that were played of the first problem, as text."""
  steps = zip(found.steps[0], found.step_lengths[0], strict=True)
  steps = list(steps)[: int(found.num_steps[0])]
  return "".join(
    task.tokenizer.decode([int(token) for token in step[:length]])
    for step, length in steps
  )


def row_of(
  entry: Entry, config: Any, workdir: pathlib.Path, num_problems: int
) -> dict[str, Any]:
  """Return what an entry came to, measured, or read if it is kept.

  Args:
    entry: of the table.
    config: of its recipe.
    workdir: of the roadmap.
    num_problems: held out.

  Raises:
    UserError, CheckpointError: if it cannot run here.
  """
  path = workdir / "rows" / f"{entry.name}.json"
  made_of = [
    config_lib.fingerprint(config), config.train.to_dict(), num_problems
  ]  # fmt: skip
  kept = json.loads(path.read_text()) if path.exists() else {}
  if kept.get("made_of") == made_of:
    print(f"{entry.name}: kept", flush=True)
    return kept
  print(f"{entry.name}: {entry.recipe}.py:{entry.argument}", flush=True)
  row = measured(
    config, workdir / entry.folder, workdir / "rows" / entry.name, num_problems
  )
  row["made_of"] = made_of
  metrics.write_json(path, row)
  jax.clear_caches()  # the next has programs of other shapes
  return row


def _attempt(entry: Entry, workdir: pathlib.Path) -> dict[str, Any]:
  """Return the row of an entry, or only `why` it has none."""
  try:
    path = pathlib.Path(_FOLDER.value) / f"{entry.recipe}.py"
    config = program.load(path, entry.argument)
    if _PRETRAINED.value and "pretrained" in config.model:
      config.model.pretrained = _PRETRAINED.value
    return row_of(entry, config, workdir, _PROBLEMS[_BUDGET.value])
  except (values.UserError, checkpoint.CheckpointError) as error:
    print(f"{entry.name}: {error}", flush=True)
    return {"why": str(error)}


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


def _draw(rows: Mapping[str, Any], workdir: pathlib.Path) -> dict[str, str]:
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


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(program.WORKDIR.value)
  names = _ONLY.value or [*RECIPES, _CHANGED]
  unknown = set(names) - {*RECIPES, _CHANGED}
  if unknown:
    raise values.UserError(
      f"--only: {', '.join(sorted(unknown))} is none of "
      f"{', '.join((*RECIPES, _CHANGED))}"
    )
  rows = {}
  title = f"{_TITLE}: {_TASK.value}, budget {_BUDGET.value}"
  for entry in entries(names, _TASK.value, _BUDGET.value):
    rows[entry.name] = _attempt(entry, workdir)
    page = sections(rows, _draw(rows, workdir))
    paths = report.write(workdir, "roadmap", title, page)
  kept = {
    name: {k: v for k, v in row.items() if k != "written"}
    for name, row in rows.items()
  }
  metrics.write_summary(
    workdir, {"recipes": kept}, program="roadmap", seeds=[0]
  )
  print("\n" + report.markdown(title, page[:2]))
  print(f"page: {' and '.join(map(str, paths))}")


if __name__ == "__main__":
  program.run(main, needs=["workdir"])
