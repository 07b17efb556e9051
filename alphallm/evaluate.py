"""Measure a trained policy on held-out problems: alone, and with search.

python -m alphallm.evaluate --config configs/quickstart.py --workdir W
    [--methods greedy,sampled,best_of_n,mcts] [--problems FOLDER_OR_FILE]
    [--tree OUT.html]

Beside it stands the policy with which the training began. A run that has not
begun, of a pretrained model, is measured as it is.
"""

import pathlib
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from alphallm import (
  checkpoint,
  measure,
  metrics,
  plots,
  program,
  runs,
  tables,
  tasks,
  viewer,
  words,
)
from alphallm import config as config_lib
from alphallm.search import play, tree_search
from alphallm.tasks import plans

_METHODS = ("greedy", "sampled", "best_of_n", "mcts")
_MOST_SAMPLES = 512  # of best-of-N, for one problem
_MOST_DRAWN = 4  # problems whose trees are drawn

_METHOD_NAMES = flags.DEFINE_list(
  "methods", list(_METHODS), f"Which of {', '.join(_METHODS)}."
)
_SIMULATIONS = flags.DEFINE_list(
  "simulations", ["4", "16", "64"], "Budgets of mcts, in simulations a move."
)
_NUM_PROBLEMS = flags.DEFINE_integer(
  "num_problems", 1000, "Held-out problems to draw.", lower_bound=1
)
_PROBLEMS = flags.DEFINE_string(
  "problems", None, "A file or folder of problems, instead of drawn ones."
)
_PLANS = flags.DEFINE_string(
  "plans", None, "Where the plans that were found go, in PDDL (blocks world)."
)
_BEFORE = flags.DEFINE_bool(
  "before", True, "Whether the policy before the training is measured too."
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", "latest", "Which: latest, best, or an iteration."
)


class Methods:
  """Ways to solve the same problems, each compiled once."""

  def __init__(
    self,
    run: config_lib.Run,
    problems: Any,
    *,
    methods: list[str],
    simulations: list[int],
  ):
    self._rng_key = jax.random.key(run.seed)
    self._problems = problems
    self._shown = methods
    self._batch_size = run.train.eval_batch_size
    fixed = {"greedy": config_lib.GREEDY, "sampled": config_lib.SAMPLED}
    searches = {name: fixed[name] for name in methods if name in fixed}
    if "best_of_n" in methods:
      searches["sampled"] = config_lib.SAMPLED
    if {"mcts", "best_of_n"} & set(methods):
      for n in sorted(simulations):
        searches[f"mcts_{n}"] = config_lib.for_evaluation(run, n)
    self._searches = searches
    self._solvers = {
      name: measure.solver(run.model.apply, run.task, search)
      for name, search in searches.items()
    }

  def measure(
    self, params: Any
  ) -> tuple[list[tables.Row], dict[str, play.SearchResult]]:
    """Solve the problems by every method.

    Best-of-N samples whole solutions until one is right or the tokens of the
    largest tree search (by problem) are spent; like it, it may ask the checker.

    Returns:
      A row for each method, and the result of each but best-of-N by name.
    """
    rows, results = [], {}
    for name, solve in self._solvers.items():
      began = time.monotonic()
      result = self._solve(solve, params, self._rng_key)
      results[name] = result
      rows.append(
        tables.Row(
          name=name,
          asks=self._searches[name].permission,
          solved=result.solved,
          tokens=measure.tokens(result),
          seconds=time.monotonic() - began,
          steps=_mean(result.episode.num_steps[result.solved]),
        )
      )
    if "best_of_n" in self._shown:
      rows.append(self._best_of_n(params, rows[-1]))
    rows = [row for row in rows if row.name.split("_")[0] in self._kinds()]
    for row in rows:
      print(f"  {row.name}: {row.share:.1%} in {row.seconds:.1f} s", flush=True)
    return rows, results

  def _solve(self, solve, params, rng_key) -> play.SearchResult:
    return measure.run(
      solve, params, rng_key, self._problems, batch_size=self._batch_size
    )

  def _kinds(self) -> set[str]:
    return {name.split("_")[0] for name in self._shown}

  def _best_of_n(self, params: Any, reference: tables.Row) -> tables.Row:
    """Sample whole solutions until one is right or the tokens are spent."""
    total = len(reference.solved)
    solved, steps = np.zeros(total, bool), np.zeros(total)
    tokens = np.zeros(total, np.int64)
    began = time.monotonic()
    for sample in range(_MOST_SAMPLES):
      open_ = ~solved & (tokens < reference.tokens)
      if not open_.any():
        break
      key = jax.random.fold_in(self._rng_key, 1 + sample)
      result = self._solve(self._solvers["sampled"], params, key)
      tokens += np.where(open_, measure.tokens(result), 0)
      steps = np.where(open_, result.episode.num_steps, steps)
      solved |= open_ & result.solved
    return tables.Row(
      name=f"best_of_n at {reference.name}",
      asks="checker",
      solved=solved,
      tokens=tokens,
      seconds=time.monotonic() - began,
      steps=_mean(steps[solved]),
    )


def _mean(x) -> float:
  return float(np.mean(x)) if len(x) else float("nan")


def main(argv) -> None:
  del argv
  unknown = set(_METHOD_NAMES.value) - set(_METHODS)
  if unknown:
    raise config_lib.UserError(
      f"--methods: {', '.join(sorted(unknown))} is none of "
      f"{', '.join(_METHODS)}"
    )
  simulations = [int(n) for n in _SIMULATIONS.value if n.isdecimal() and int(n)]
  if len(simulations) != len(_SIMULATIONS.value) or not simulations:
    raise config_lib.UserError("--simulations: give positive numbers")
  tree_path = runs.tree_path()
  if tree_path and "mcts" not in _METHOD_NAMES.value:
    raise config_lib.UserError("--tree: only mcts has one; see --methods")
  workdir = pathlib.Path(program.WORKDIR.value)
  run = config_lib.make_run(program.CONFIG.value, workdir)
  if _PLANS.value and not isinstance(run.task, tasks.BlocksWorld):
    raise config_lib.UserError(f"--plans: {run.task.name} has no plans in PDDL")
  begun = checkpoint.any_in(workdir / "checkpoints")
  if begun or run.pretrained is None or _CHECKPOINT.value != "latest":
    params, iteration = runs.load(run, workdir, _CHECKPOINT.value)
  else:
    params, iteration = runs.load_first(run), 0
  problems = runs.read_problems(run, _PROBLEMS.value, _NUM_PROBLEMS.value)
  count = jax.tree.leaves(problems)[0].shape[0]
  source = _PROBLEMS.value or "drawn from the test split"
  print(
    f"iteration {iteration} of {workdir}, {count} problems ({source}), "
    f"{jax.devices()[0].platform}",
    flush=True,
  )
  methods = Methods(
    run, problems, methods=_METHOD_NAMES.value, simulations=simulations
  )
  before, first = [], "pretrained" if run.pretrained else "random weights"
  policies: dict[str, Any] = {}  # by what they are called
  if _BEFORE.value and iteration:
    print(f"before the training, {first}:", flush=True)
    # Where the trained ones lie, so that nothing is compiled twice.
    places = jax.tree.map(lambda x: x.sharding, params)
    policies[first] = jax.device_put(runs.load_first(run), places)
    before, _ = methods.measure(policies[first])
  print("trained:" if iteration else f"{first}:", flush=True)
  after, results = methods.measure(params)
  policies["trained" if iteration else first] = params
  print("\n" + tables.by_method(before, after, first) + "\n")
  figures: dict[str, Any] = {}
  if len(run.task.levels) > 1:
    levels = run.task.level_of(problems)
    print(tables.by_level(levels, after) + "\n")
    figures["by_level"] = {
      str(level): {
        row.name.split(" ")[0]: float(np.mean(row.solved[levels == level]))
        for row in after
      }
      for level in np.unique(levels)
    }
  for row in after:
    name = row.name.split(" ")[0]
    low, high = measure.interval(int(row.solved.sum()), count)
    figures[name] = row.share
    figures[f"{name}_interval"] = [low, high]
    figures[f"{name}_tokens"] = float(row.tokens.mean())
    figures[f"{name}_permission"] = row.asks
  for row in before:
    name = f"{row.name.split(' ')[0]}_{first.replace(' ', '_')}"
    figures[name] = row.share
  figures["num_problems"] = count
  figures["problems"] = source
  path = metrics.write_summary(
    workdir,
    figures,
    program="evaluate",
    config=program.CONFIG.value.to_dict(),
    seeds=[run.seed],
  )
  print(f"figures: {path}")
  curve = plots.learning_curve(workdir) if iteration else None
  if curve:
    print(f"learning curve: {curve}")
  if _PLANS.value and results:
    name = list(results)[-1]
    written = plans.write(
      run.task, problems, results[name], _PROBLEMS.value, _PLANS.value
    )
    print(f"plans of {name}: {written} files in {_PLANS.value}")
  if "mcts" in _METHOD_NAMES.value:
    search = config_lib.for_evaluation(run, max(simulations))
    if tree_path:
      result = results[f"mcts_{max(simulations)}"]
      path = draw(run, search, policies, problems, result, tree_path)
      print(f"trees, to be opened in a browser: {path}")
    print("\n" + words.example(run, search, params, problems))


def draw(
  run: config_lib.Run,
  search: tree_search.SearchConfig,
  policies: dict[str, Any],
  problems: Any,
  result: play.SearchResult,
  path: str,
) -> pathlib.Path:
  """Write the trees of some of the problems that were measured.

  Args:
    run: what was measured.
    search: by which search.
    policies: their parameters by name, each a side of the page.
    problems: `[n, ...]`, all that were measured.
    result: of them, by the last of the policies. Drawn are those that it
      solved with the most nodes.
    path: where the page goes.
  """
  # The last key is the first to sort by.
  rows = np.lexsort((-result.cost.nodes, ~result.solved))[:_MOST_DRAWN]
  fold = jax.vmap(jax.random.fold_in, (None, 0))  # keys: those of `measure.run`
  page = viewer.compare(
    run.model.apply,
    run.task,
    search,
    policies,
    fold(jax.random.key(run.seed), rows),
    jax.tree.map(lambda x: np.asarray(x)[rows], problems),
  )
  return viewer.save(path, page)


if __name__ == "__main__":
  program.run(main)
