"""Every recipe of the roadmap at one budget, and what each slot adds: one page.

python -m alphallm.roadmap --workdir DIR --budget small
    [--task countdown] [--only alphazero,openr] [--pretrained PATH]

A recipe is a file of configs/recipes/, see configs/recipes/slots.py. Each is
trained in a folder of DIR and measured on the same held-out problems: its first
policy, and what has become of it. Of recipes that begin alike the supervised
phase is run once, in DIR/supervised, and counted to each. The same command goes
on with what was stopped; what is finished is not repeated. DIR/roadmap.md and
DIR/roadmap.html are the page.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
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
  program,
  report,
  roadmap_page,
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
_SUPERVISED = "supervised"  # folder of the supervised phases
_PROBLEMS = {"ci": 16, "small": 500, "full": 1_000}
_TITLE = "The roadmap's recipes"

_BUDGET = flags.DEFINE_enum(
  "budget", "small", list(_PROBLEMS), "How much each recipe may spend."
)
_TASK = flags.DEFINE_string("task", "countdown", "Which task; see slots.py.")
_ONLY = flags.DEFINE_list(
  "only",
  None,
  "Which recipes to run, and one_changed; by default all. What has been run "
  "before stays on the page.",
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
  # Where a checkpoint is restored to, so that the program is the same.
  params = jax.device_put(runs.load_first(run), jax.devices()[0])
  before, found = evaluated.measure(params, kept / "before", key)
  after = before
  if checkpoint.any_in(workdir / "checkpoints"):
    params, _ = runs.load(run, workdir)
    after, found = evaluated.measure(params, kept / "after", key)
  return {
    "seed": config.seed,
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


def _written(task, found: evaluation.Found) -> str:
  """Return the steps that were played of the first problem, as text."""
  steps = zip(found.steps[0], found.step_lengths[0], strict=True)
  steps = list(steps)[: int(found.num_steps[0])]
  return "".join(
    task.tokenizer.decode([int(token) for token in step[:length]])
    for step, length in steps
  )


def share_supervised(config: Any, workdir: pathlib.Path, folder: str) -> None:
  """Link the supervised phase of a recipe to the one folder of its kind.

  Args:
    config: of the recipe.
    workdir: of the roadmap.
    folder: of the recipe's run, in it.
  """
  link = workdir / folder / phases.FINETUNED
  if "finetune" not in config:
    return
  kind = config_lib.fingerprint(phases.supervised(config))
  (workdir / _SUPERVISED / kind).mkdir(parents=True, exist_ok=True)
  link.parent.mkdir(exist_ok=True)
  if not (link.exists() or link.is_symlink()):
    link.symlink_to(pathlib.Path("..") / _SUPERVISED / kind)


def _path(entry: Entry, workdir: pathlib.Path) -> pathlib.Path:
  return workdir / "rows" / f"{entry.name}.json"


def _made_of(config: Any, num_problems: int) -> list[Any]:
  train_config = config.train.to_dict()
  return [config_lib.fingerprint(config), train_config, num_problems]


def kept_row(
  entry: Entry, config: Any, workdir: pathlib.Path, num_problems: int
) -> dict[str, Any] | None:
  """Return what an entry came to earlier; `None` if that is not known."""
  path = _path(entry, workdir)
  kept = json.loads(path.read_text()) if path.exists() else {}
  whole = kept.get("made_of") == _made_of(config, num_problems)
  return kept if whole else None


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
  kept = kept_row(entry, config, workdir, num_problems)
  if kept:
    print(f"{entry.name}: kept", flush=True)
    return kept
  print(f"{entry.name}: {entry.recipe}.py:{entry.argument}", flush=True)
  share_supervised(config, workdir, entry.folder)
  row = measured(
    config, workdir / entry.folder, workdir / "rows" / entry.name, num_problems
  )
  row["made_of"] = _made_of(config, num_problems)
  metrics.write_json(_path(entry, workdir), row)
  jax.clear_caches()  # the next has programs of other shapes
  return row


def _attempt(
  entry: Entry, workdir: pathlib.Path, *, wanted: bool
) -> dict[str, Any] | None:
  """Return the row of an entry, or only `why` it has none.

  Args:
    entry: of the table.
    workdir: of the roadmap.
    wanted: whether to run it, if its row is not kept; `None` if not.
  """
  try:
    path = pathlib.Path(_FOLDER.value) / f"{entry.recipe}.py"
    config = program.load(path, entry.argument)
    if _PRETRAINED.value and "pretrained" in config.model:
      config.model.pretrained = _PRETRAINED.value
    find = row_of if wanted else kept_row
    return find(entry, config, workdir, _PROBLEMS[_BUDGET.value])
  except (values.UserError, checkpoint.CheckpointError) as error:
    print(f"{entry.name}: {error}", flush=True)
    return {"why": str(error)}


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
  for entry in entries([*RECIPES, _CHANGED], _TASK.value, _BUDGET.value):
    row = _attempt(entry, workdir, wanted=entry.recipe in names)
    if row is None:
      continue
    rows[entry.name] = row
    page = roadmap_page.sections(rows, roadmap_page.draw(rows, workdir))
    paths = report.write(workdir, "roadmap", title, page)
  kept = {
    name: {k: v for k, v in row.items() if k != "written"}
    for name, row in rows.items()
  }
  seeds = sorted({row["seed"] for row in rows.values() if "seed" in row})
  metrics.write_summary(
    workdir, {"recipes": kept}, program="roadmap", seeds=seeds
  )
  print("\n" + report.markdown(title, page[:2]))
  print(f"page: {' and '.join(map(str, paths))}")


if __name__ == "__main__":
  program.run(main, needs=["workdir"])
