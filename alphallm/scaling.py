"""The scaling laws of search and learning: a grid, measured and fitted.

python -m alphallm.scaling --workdir DIR --grid small

Success on held-out problems by the size of the model, the search of the
training, the rounds of learning and the search at the test; each cell of the
grid of configs/scaling.py with the floating-point operations that it cost. For
each of the four a power law of failure in compute is fitted and drawn. The same
command goes on with what was stopped. DIR/scaling.md and DIR/scaling.html are
the page, written anew after each training; DIR/cells.json has the cells.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from alphallm import config as config_lib
from alphallm import (
  evaluation,
  forecast,
  judges,
  measure,
  methods,
  metrics,
  plots,
  program,
  report,
  runs,
  scaling_laws,
  sharding,
  train,
  trainer,
  values,
)

_GRID = flags.DEFINE_enum(
  "grid", "small", ["ci", "hour", "small", "gpu"], "Which."
)
_GRIDS = flags.DEFINE_string(
  "grids", "configs/scaling.py", "The file of the grids."
)
_WORDS = {
  "simulations": "the training's search",
  "iterations": "rounds of learning",
  "budget": "the test's search",
  "parameters": "the size of the model",
}
_TITLE = "Scaling laws of search and learning"


def flops(run: config_lib.Run, workdir: pathlib.Path, parameters: int) -> float:
  """Return the floating-point operations of a training up to its end.

  2 a parameter and token that the network passes in self-play, and 6 where it
  learns (Kaplan et al., 2020, section 2.1).
  """
  lines = metrics.read_metrics(workdir)
  played = sum(line.get("tokens", 0) for line in lines)
  steps = max(line.get("train_steps", 0) for line in lines)
  mesh = sharding.make_mesh(run.mesh)
  example = trainer.Trainer(run, mesh).abstract().replay.examples
  tokens = forecast.tokens_of_example(example)
  learned = steps * run.learner.batch_size * tokens
  return parameters * (2 * played + 6 * learned)


def measured(
  config: Any, workdir: pathlib.Path, budgets: Sequence[int], num_problems: int
) -> list[scaling_laws.Cell]:
  """Train up to a round, and return a cell for each search at the test.

  Args:
    config: of the run; its length is the round.
    workdir: of the run, which has been trained up to a round before.
    budgets: of the search at the test.
    num_problems: held out.

  Raises:
    UserError: if the run is beyond the round.
  """
  train.train(config, workdir)
  run = judges.guided(config_lib.make_run(config, workdir))
  params, iteration = runs.load(run, workdir)
  if iteration != run.train.num_iterations:
    raise values.UserError(
      f"{workdir} is at iteration {iteration}, beyond "
      f"{run.train.num_iterations}, which was not measured: delete it"
    )
  compared = [
    methods.tree(run, budget) if budget else methods.played(run, "greedy")
    for budget in budgets
  ]
  problems = measure.held_out(run.task, num_problems)
  rows, _ = evaluation.Evaluation(run, problems, compared).measure(
    params,
    workdir / "evaluation" / str(iteration),
    json.dumps(config.to_dict(), sort_keys=True),
  )
  size = sum(x.size for x in jax.tree.leaves(params))
  cost = flops(run, workdir, size)
  return [
    scaling_laws.Cell(
      parameters=size,
      simulations=run.search.num_simulations,
      iterations=iteration,
      budget=budget,
      solved=int(row.solved.sum()),
      problems=len(row.solved),
      training=cost,
      test=2.0 * size * float(np.mean(row.tokens)),
    )
    for budget, row in zip(budgets, rows, strict=True)
  ]


def grown(
  config: Any, workdir: pathlib.Path
) -> Iterator[list[scaling_laws.Cell]]:
  """Yield the cells of a grid: those that are kept, and more after each run.

  Args:
    config: with the room `grid`.
    workdir: where they are kept, and their runs.
  """
  grid = config.grid.to_dict()
  base = config.copy_and_resolve_references().unlock()
  del base.grid
  path = workdir / "cells.json"
  kept = json.loads(path.read_text()) if path.exists() else {}
  made_of = config_lib.fingerprint(config)
  if kept and kept["made_of"] != made_of:
    raise values.UserError(f"{path} is of another grid; give another --workdir")
  cells = [scaling_laws.Cell(**cell) for cell in kept.get("cells", [])]
  done = set(kept.get("done", ()))
  if cells:
    yield list(cells)
  choices = itertools.product(
    grid["embed_dims"], grid["simulations"], grid["iterations"]
  )
  for size, simulations, iterations in choices:
    name = f"{size}_{simulations}"
    if f"{name}_{iterations}" in done:
      continue
    base.model.update(embed_dim=size, head_dim=size // 4, mlp_dim=2 * size)
    base.search.num_simulations = simulations
    base.train.num_iterations = iterations
    print(f"{name}: {iterations} iterations", flush=True)
    cells += measured(
      base, workdir / "runs" / name, grid["budgets"], grid["num_problems"]
    )
    done.add(f"{name}_{iterations}")
    plain = [dataclasses.asdict(cell) for cell in cells]
    metrics.write_json(
      path, {"made_of": made_of, "done": sorted(done), "cells": plain}
    )
    jax.clear_caches()
    if iterations == grid["iterations"][-1]:
      yield list(cells)


def sections(
  cells: Sequence[scaling_laws.Cell],
  laws: Sequence[scaling_laws.Law],
  served: int,
  pictures: dict[str, str],
) -> list[report.Section]:
  """Return the page; `pictures`: names of files, by axis and `frontier`."""
  text = (
    "failure = a · compute^−b: b is shared by all series, in each of which all "
    "else is held fixed, and a is of the series. Compute is in floating-point "
    "operations, of the training or of a problem of the test. Intervals of 95% "
    "by the bootstrap over series and problems; the residual is the root mean "
    "square in log failure, weighted as the fit is."
  )
  parts = [
    report.Section(
      title="Laws",
      text=text,
      header=(
        "what grows", "compute of", "series", "exponent b", "95% interval",
        "residual, nats", "explained",
      ),
      rows=[
        (
          _WORDS[law.axis],
          scaling_laws.AXES[law.axis],
          str(len(law.series)),
          f"{law.exponent:.3f}",
          "{:.3f} to {:.3f}".format(*law.interval),
          f"{law.residual:.3f}",
          f"{law.explained:.1%}",
        )
        for law in laws
      ],
    )
  ]  # fmt: skip
  parts += [
    report.Section(
      title=f"Law of {_WORDS[law.axis]}", picture=pictures.get(law.axis, "")
    )
    for law in laws
  ]
  header = "parameters", "training search", "rounds", "test search", "solved"
  line = lambda cell: (
    f"{cell.parameters:,}",
    str(cell.simulations),
    str(cell.iterations),
    str(cell.budget or "greedy"),
    f"{cell.solved / cell.problems:.1%}",
    f"{cell.training:.2e}",
    f"{cell.test:.2e}",
  )
  best = scaling_laws.frontier(cells, served)
  parts.append(
    report.Section(
      title="The best at each compute",
      text=f"Of a training and {served:,} problems of the test together.",
      header=(*header, "training FLOPs", "test FLOPs a problem", "total FLOPs"),
      rows=[(*line(cell), f"{cost:.2e}") for cost, cell in best],
      picture=pictures.get("frontier", ""),
    )
  )
  parts.append(
    report.Section(
      title="Cells",
      header=(*header, "training FLOPs", "test FLOPs a problem"),
      rows=[line(cell) for cell in cells],
    )
  )
  return parts


def write(
  config: Any, cells: Sequence[scaling_laws.Cell], workdir: pathlib.Path
) -> None:
  """Fit the laws, write the page of the cells and print its first table."""
  laws = [
    scaling_laws.fit(axis, cells)
    for axis in scaling_laws.AXES
    if scaling_laws.series_of(axis, cells)
  ]
  served = config.grid.served
  drawn = {
    law.axis: plots.law(law, _WORDS[law.axis], workdir / f"{law.axis}.png")
    for law in laws
  }
  drawn["frontier"] = plots.frontier(
    [
      (cell.training + served * cell.test, cell.solved / cell.problems)
      for cell in cells
    ],
    [
      (cost, cell.solved / cell.problems)
      for cost, cell in scaling_laws.frontier(cells, served)
    ],
    workdir / "frontier.png",
  )
  pictures = {name: path.name for name, path in drawn.items() if path}
  page = sections(cells, laws, served, pictures)
  paths = report.write(workdir, "scaling", _TITLE, page)
  figures = {f"exponent_{law.axis}": law.exponent for law in laws}
  figures |= {f"exponent_{law.axis}_interval": law.interval for law in laws}
  figures |= {f"residual_{law.axis}": law.residual for law in laws}
  metrics.write_summary(
    workdir,
    figures | {"cells": len(cells)},
    program="scaling",
    config=config.to_dict(),
    seeds=[config.seed],
  )
  print("\n" + report.markdown(_TITLE, page[:1]))
  print(
    f"page of {len(cells)} cells: {' and '.join(map(str, paths))}", flush=True
  )


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(program.WORKDIR.value)
  config = program.load(pathlib.Path(_GRIDS.value), _GRID.value)
  for cells in grown(config, workdir):
    write(config, cells, workdir)


if __name__ == "__main__":
  program.run(main, needs=["workdir"])
