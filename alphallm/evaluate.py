"""Measure a trained policy on held-out problems: alone, and with search.

python -m alphallm.evaluate --config configs/quickstart.py --workdir W
    [--methods greedy,sampled,best_of_n,mcts] [--problems FOLDER_OR_FILE]
    [--tree OUT.html]
python -m alphallm.evaluate --config configs/quickstart.py --workdir W
    --methods all --budgets 4,16 [--guidance value] [--permission rules]
python -m alphallm.evaluate --config configs/quickstart.py --workdir W
    --methods auto,vote --budgets 4,16
python -m alphallm.evaluate --config configs/quickstart.py --workdir W
    --methods greedy,mcts,embedded --world world

Without --methods, --budgets and --simulations a config that has a room
`evaluation` says how its policy searches.

Beside it stands the policy with which the training began. A run that has not
begun, of a pretrained model, is measured as it is. What is measured is kept in
the workdir: an evaluation that was stopped goes on with the same command.

The problems are split over all devices; on several hosts it is given as
`alphallm.train` is.
"""

import json
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from alphallm import (
  checkpoint,
  comparison,
  compute_optimal,
  evaluation,
  hosts,
  judges,
  methods,
  metrics,
  phases,
  plots,
  program,
  runs,
  search,
  sharding,
  tasks,
  viewer,
  words,
)
from alphallm import config as config_lib
from alphallm.search import tree_search
from alphallm.search.strategies import budgets as strategies
from alphallm.tasks import plans

_USUAL = ("greedy", "sampled", "best_of_n", "mcts")
_ALL = ("greedy", *strategies.STRATEGIES, "mcts")
_METHODS = dict.fromkeys((*_USUAL, *_ALL, "embedded", "auto", "all"))
_MOST_DRAWN = 4  # problems whose trees are drawn

_METHOD_NAMES = flags.DEFINE_list(
  "methods", list(_USUAL), f"Which of {', '.join(_METHODS)}."
)
_BUDGETS = flags.DEFINE_list(
  "budgets",
  None,
  "Budgets of all methods but greedy and sampled, in samples or simulations; "
  "best_of_n is then the best of so many by the guidance. Without it they are "
  "those of --simulations, and best_of_n gets the tokens of the last mcts.",
)
_GUIDANCE = flags.DEFINE_string(
  "guidance",
  "",
  "What scores paths, instead of what each strategy takes by itself: value, "
  "log_prob, likelihood, checker, self_consistency, semantic_entropy, "
  "self_evaluation, the name of a reward model in the workdir, or a sum such "
  "as 0.5*value+0.5*likelihood.",
)
_WORLD = flags.DEFINE_string(
  "world",
  "",
  "The world model of the workdir in which `embedded` searches, instead of the "
  "environment.",
)
_PERMISSION = flags.DEFINE_enum(
  "permission",
  None,
  ["nothing", "rules", "checker"],
  "What searches may ask; by default what the config says; of votes: rules.",
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


def main(argv) -> None:
  del argv
  simulations = _numbers("--simulations", _SIMULATIONS.value)
  budgets = _BUDGETS.value and _numbers("--budgets", _BUDGETS.value)
  names = list(_METHOD_NAMES.value)
  flags_given = _METHOD_NAMES.present or _BUDGETS.present
  chosen = phases.test_search(program.CONFIG.value)
  if chosen and not (flags_given or _SIMULATIONS.present):
    names, budgets = chosen
  unknown = set(names) - set(_METHODS)
  if unknown:
    raise config_lib.UserError(
      f"--methods: {', '.join(sorted(unknown))} is none of "
      f"{', '.join(_METHODS)}"
    )
  if "all" in names:
    names = list(_ALL)
  tree_path = runs.tree_path()
  if tree_path and "mcts" not in names:
    raise config_lib.UserError("--tree: only mcts has one; see --methods")
  workdir = pathlib.Path(program.WORKDIR.value)
  config = phases.plain(program.CONFIG.value, workdir)
  run = judges.guided(config_lib.make_run(config, workdir))
  models, judging = judges.named_in(_GUIDANCE.value, workdir, run.task)
  if ("embedded" in names) != bool(_WORLD.value):
    raise config_lib.UserError(
      f"--world={_WORLD.value!r}: --methods=embedded searches in it, and "
      "nothing else does"
    )
  world = None
  if _WORLD.value:
    world, foreseeing = judges.world(workdir, _WORLD.value, run.task)
    judging = [*judging, *foreseeing]
  if _PLANS.value and not isinstance(run.task, tasks.BlocksWorld):
    raise config_lib.UserError(f"--plans: {run.task.name} has no plans in PDDL")
  layered = run.mesh.gather == "layer"
  if layered and tree_path:
    raise config_lib.UserError(
      "--tree: it is drawn on one device, and config.mesh.gather='layer' "
      "leaves no device all parameters"
    )
  mesh = sharding.make_mesh(run.mesh if layered else sharding.MeshConfig())
  parts = run.parts(mesh)
  places = parts if layered else sharding.replicated(mesh)
  begun = checkpoint.any_in(workdir / "checkpoints")
  if begun or run.pretrained is None or _CHECKPOINT.value != "latest":
    params, iteration = runs.load(
      run, workdir, _CHECKPOINT.value, sharding=places
    )
  else:
    params, iteration = sharding.put(runs.load_first(run), places), 0
  # As ever: without other budgets it gets the tokens of the last mcts.
  matched = budgets is None and set(names) <= set(_USUAL)
  if budgets and _SIMULATIONS.present:
    raise config_lib.UserError("give --budgets or --simulations, not both")
  table = compute_optimal.read(workdir) if "auto" in names else None
  compared = _compared(
    run, names, budgets or simulations, matched, table, models, world
  )
  if _GUIDANCE.value and (matched or set(names) <= set(methods.UNGUIDED)):
    raise config_lib.UserError(
      "--guidance: none of the methods is guided by it; see --methods, and "
      "give --budgets for a best_of_n that is"
    )
  problems = runs.read_problems(run, _PROBLEMS.value, _NUM_PROBLEMS.value)
  count = jax.tree.leaves(problems)[0].shape[0]
  source = _PROBLEMS.value or "drawn from the test split"
  if table and table["source"] == source:
    print(
      "auto: its table is of the same problems, so that it flatters itself; "
      "see by_difficulty in summary.json"
    )
  print(
    f"iteration {iteration} of {workdir}, {count} problems ({source}), "
    f"{jax.devices()[0].platform}",
    flush=True,
  )
  evaluated = evaluation.Evaluation(
    run,
    problems,
    compared,
    mesh=mesh,
    parts=parts,
    matched=matched and "best_of_n" in names,
  )
  settings = json.dumps(config.to_dict(), sort_keys=True), judging
  kept = workdir / "evaluation"
  hidden = () if "mcts" in names else tuple(f"mcts_{n}" for n in simulations)
  before, first = [], "pretrained" if run.pretrained else "random weights"
  policies: dict[str, Any] = {}  # by what they are called
  if _BEFORE.value and iteration:
    print(f"before the training, {first}:", flush=True)
    untrained = sharding.put(runs.load_first(run), places)
    policies[first] = _here(untrained)
    before, _ = evaluated.measure(untrained, kept / "before", settings)
  print("trained:" if iteration else f"{first}:", flush=True)
  after, results = evaluated.measure(params, kept / "after", settings)
  if jax.process_index():
    hosts.agreed(True)  # the first process reports, and is waited for
    return
  params = _here(params)
  policies["trained" if iteration else first] = params
  before, after = (
    [row for row in rows if row.name not in hidden] for rows in (before, after)
  )
  figures = comparison.tell(
    run,
    problems,
    source,
    before,
    after,
    first,
    workdir,
    by_budgets=bool(budgets),
  )
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
  if "mcts" in names:
    most = max(budgets or simulations)
    tree = methods.tree_config(run, most, _PERMISSION.value or "")
    if tree_path:
      found = results[f"mcts_{most}"]
      path = draw(run, tree, policies, problems, found, tree_path)
      print(f"trees, to be opened in a browser: {path}")
    if not layered:  # it is searched on one device
      print("\n" + words.example(run, tree, params, problems))
  hosts.agreed(True)


def _here(params: Any) -> Any:
  """Return what one device has of parameters, where they are whole: all."""
  return jax.tree.map(lambda x: x.addressable_data(0), params)


def _numbers(flag: str, given: list[str]) -> list[int]:
  numbers = [int(n) for n in given if n.isdecimal() and int(n)]
  if len(numbers) != len(given) or not numbers:
    raise config_lib.UserError(f"{flag}: give positive numbers")
  return sorted(set(numbers))


def _compared(
  run: config_lib.Run,
  names: list[str],
  budgets: list[int],
  matched: bool,
  table: dict[str, Any] | None,
  models: dict[str, search.guidance.Guidance],
  world: methods.World | None,
) -> list[methods.Method]:
  """Return the methods that are compared; tell which make no sense.

  Raises:
    UserError: if none is left.
  """
  if matched:  # In this order, with that whose tokens it gets.
    trees = {"mcts", "best_of_n"} & set(names)
    names = [name for name in ("greedy", "sampled") if name in names]
    names += ["mcts"] * bool(trees)
  made, refused = methods.strategies(
    run,
    names,
    budgets,
    guided_by=_GUIDANCE.value,
    permission=_PERMISSION.value or "",
    table=table,
    models=models,
    world=world,
  )
  if refused and not made:
    raise config_lib.UserError(f"--methods: {refused[0]}")
  for reason in refused:
    print(f"left out: {reason}", flush=True)
  return made


def draw(
  run: config_lib.Run,
  tree: tree_search.SearchConfig,
  policies: dict[str, Any],
  problems: Any,
  found: evaluation.Found,
  path: str,
) -> pathlib.Path:
  """Write the trees of some of the problems that were measured.

  Args:
    run: what was measured.
    tree: by which search.
    policies: their parameters by name, each a side of the page.
    problems: `[n, ...]`, all that were measured.
    found: for them, by the last of the policies. Drawn are those that it
      solved with the most nodes.
    path: where the page goes.
  """
  # The last key is the first to sort by.
  rows = np.lexsort((-found.nodes, ~found.solved))[:_MOST_DRAWN]
  fold = jax.vmap(jax.random.fold_in, (None, 0))  # keys: those of `measure.run`
  page = viewer.compare(
    run.model.apply,
    run.task,
    tree,
    policies,
    fold(jax.random.key(run.seed), rows),
    jax.tree.map(lambda x: np.asarray(x)[rows], problems),
  )
  return viewer.save(path, page)


if __name__ == "__main__":
  program.run(main, on_hosts=True)
