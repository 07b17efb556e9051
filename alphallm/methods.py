"""The methods that the evaluation compares, each with its budgets."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from alphallm import config as config_lib
from alphallm import measure, search, tasks
from alphallm.search import play

_CHILDREN = 4  # K of strategies that keep a few of their paths' ways on


def _samples(make):
  return lambda n, k: (make, {"num_samples": n})


def _layers(make):
  """Spend n steps sampled at each depth: n / K paths with K ways on each."""

  def of(n, k):
    few = min(_CHILDREN, n)
    return make, {"width": max(1, n // few), "num_candidates": few}

  return of


def _queue(make):
  return lambda n, k: (make, {"num_expansions": n, "num_candidates": k})


def _chains(n, k):
  """Make n attempts: a few chains of revisions."""
  few = min(_CHILDREN, n)
  settings = {"num_chains": few, "num_revisions": n // few - 1}
  return search.revision, settings


# By name: (budget, K of the run's search) -> the strategy and its settings.
STRATEGIES: dict[str, Callable[[int, int], tuple[Any, dict[str, Any]]]] = {
  "sampling": _samples(search.sampling),
  "vote": _samples(search.vote),
  "best_of_n": _samples(search.best_of_n),
  "rejection": lambda n, k: (
    search.best_of_n,
    {"num_samples": n, "reject": 0.25},
  ),
  "beam": _layers(search.beam),
  "dvts": _layers(search.dvts),
  "rebase": _samples(search.rebase),
  "lookahead": _layers(search.lookahead),
  "breadth_first": _layers(search.breadth_first),
  "depth_first": _queue(search.depth_first),
  "best_first": _queue(search.best_first),
  "revision": lambda n, k: (search.revision, {"num_revisions": n - 1}),
  "revisions": _chains,
  "rewriting": lambda n, k: (search.rewriting, {"num_revisions": n - 1}),
  "mctsr": lambda n, k: (search.mctsr, {"num_attempts": n}),
}
PLAYED = {"greedy": search.greedy, "sampled": search.sampling}
# Of these nothing is scored by a guidance.
UNGUIDED = ("greedy", "sampled", "sampling", "mcts", "auto")

_GUIDANCES = {
  "value": search.guidance.value,
  "log_prob": search.guidance.log_prob,
  "likelihood": search.guidance.likelihood,
  "checker": search.guidance.checker,
  "self_consistency": search.guidance.self_consistency,
  "semantic_entropy": search.guidance.semantic_entropy,
  "self_evaluation": search.guidance.self_evaluation,
}


@dataclasses.dataclass(frozen=True)
class Method:
  """A way to solve problems, compiled once.

  Attributes:
    name: with its budget.
    solve: `(params, rng_keys, problems) -> SearchResult`, jitted.
    asks: what it may ask of the environment while it searches.
    budget: samples, attempts, steps sampled at a depth, states taken up, or
      simulations a move; 1 for the policy alone.
    guidance: what scores its paths; "" for its own.
    made_of: what else it depends on, beside the run.
  """

  name: str
  solve: Callable[..., play.SearchResult]
  asks: str
  budget: int = 1
  guidance: str = ""
  made_of: str = ""


def guidance(text: str, task: tasks.Task) -> search.guidance.Guidance:
  """Return the guidance of a name, or of a sum such as "0.5*value+0.5*checker".

  Args:
    text: the name, or the sum.
    task: whose tokens the model is asked by.

  Raises:
    UserError: if a name is not known, a weight is no number, or the task lacks
      the tokens.
  """

  def part(term):
    weight, star, name = term.rpartition("*")
    name = name.strip()
    try:
      weight = float(weight) if star else 1.0
      make = _GUIDANCES[name]
    except (KeyError, ValueError) as error:
      raise config_lib.UserError(
        f"--guidance: {term!r} is none of {', '.join(_GUIDANCES)}, nor a "
        "number * one of them"
      ) from error
    try:
      asks = name == "self_evaluation"
      return weight, make(task.tokenizer) if asks else make()
    except ValueError as error:
      raise config_lib.UserError(f"--guidance: {error}") from error

  parts = [part(term) for term in text.split("+")]
  if len(parts) == 1 and parts[0][0] == 1:
    return parts[0][1]
  return search.guidance.mix(*parts)


def played(run: config_lib.Run, name: str) -> Method:
  """Return the policy alone: greedy or sampled."""
  solve = jax.jit(PLAYED[name](run.model.apply, run.task))
  return Method(name=name, solve=solve, asks="nothing")


def tree_config(
  run: config_lib.Run, budget: int, permission: str = ""
) -> search.SearchConfig:
  """Return the run's tree search with so many simulations a move.

  Raises:
    ValueError: if it cannot be by the permission; "" is the run's own.
  """
  config = config_lib.for_evaluation(run, budget)
  config = dataclasses.replace(
    config, permission=permission or config.permission
  )
  if config.permission == "nothing" and run.task.context == "reset":
    raise ValueError(
      "mcts: a context that is reset consists of what permission='nothing' may "
      "not ask"
    )
  return config


def tree(run: config_lib.Run, budget: int, permission: str = "") -> Method:
  """Return the run's tree search as a method; see `tree_config`."""
  config = tree_config(run, budget, permission)
  return Method(
    name=f"mcts_{budget}",
    solve=measure.solver(run.model.apply, run.task, config),
    asks=config.permission,
    budget=budget,
  )


def strategy(
  run: config_lib.Run,
  name: str,
  budget: int,
  *,
  guided_by: str = "",
  permission: str = "",
) -> Method:
  """Return a strategy with a budget.

  Args:
    run: of the policy.
    name: of `STRATEGIES`.
    budget: see `Method`.
    guided_by: for `guidance`; "": by the strategy's own.
    permission: what may be asked; "": what the run's search may, but for votes
      and samples, which need the rules alone.

  Raises:
    ValueError: if the guidance makes no sense for the strategy.
  """
  make, settings = STRATEGIES[name](budget, run.search.num_candidates)
  usual = "rules" if name in ("vote", "sampling") else run.search.permission
  settings["permission"] = permission or usual
  guided_by = "" if name in UNGUIDED else guided_by
  if guided_by:
    settings["guidance"] = guidance(guided_by, run.task)
  return Method(
    name=f"{name}_{budget}",
    solve=jax.jit(make(run.model.apply, run.task, **settings)),
    asks=settings["permission"],
    budget=budget,
    guidance=guided_by,
  )


def auto(run: config_lib.Run, table: dict[str, Any], budget: int) -> Method:
  """Return the choice by difficulty at a budget.

  Args:
    run: of the policy.
    table: see `compute_optimal.read`.
    budget: of the table.

  Raises:
    UserError: if the table knows no such budget, or no such method any more.
  """
  level = table["levels"].get(str(budget))
  if level is None:
    raise config_lib.UserError(
      f"auto: the table has budgets {', '.join(table['levels'])}, and no "
      f"{budget}"
    )

  guided_by = table["guidance"]

  def chosen(name):
    kind, _, number = name.rpartition("_")
    if name in PLAYED:
      return played(run, name)
    if kind == "mcts":
      return tree(run, int(number), table["asks"])
    if kind in STRATEGIES:
      votes = kind in ("vote", "sampling")
      return strategy(
        run,
        kind,
        int(number),
        guided_by=guided_by,
        permission="" if votes else table["asks"],
      )
    raise config_lib.UserError(f"auto: the table names {name!r}, no method")

  solvers = {name: chosen(name).solve for name in set(level["methods"])}
  solve = search.auto(
    run.model.apply,
    run.task,
    choices=[solvers[name] for name in level["methods"]],
    edges=table["edges"],
    num_samples=table["num_samples"],
    guidance=guidance(guided_by, run.task) if guided_by else None,
    permission=table["asks"],
  )
  return Method(
    name=f"auto_{budget}",
    solve=jax.jit(solve),
    asks=table["asks"],
    budget=budget,
    guidance=guided_by,
    made_of=f"{level['methods']} {table['edges']} {table['num_samples']}",
  )


def strategies(
  run: config_lib.Run,
  names: Sequence[str],
  budgets: Sequence[int],
  *,
  guided_by: str = "",
  permission: str = "",
  table: dict[str, Any] | None = None,
) -> tuple[list[Method], list[str]]:
  """Return strategies, each with each budget, and why others were left out.

  Args:
    run: of the policy.
    names: of `STRATEGIES`, "greedy", "sampled", "mcts" or "auto".
    budgets: see `Method`.
    guided_by: see `strategy`.
    permission: see `strategy`.
    table: of "auto".

  Raises:
    UserError: if `guided_by` is no guidance.
  """
  if guided_by:
    guidance(guided_by, run.task)  # refuses what is no guidance at all

  def make(name, budget):
    if name == "mcts":
      return tree(run, budget, permission)
    if name == "auto":
      return auto(run, table, budget)
    return strategy(
      run, name, budget, guided_by=guided_by, permission=permission
    )

  made, refused = [], []
  for name in names:
    if name in PLAYED:
      made.append(played(run, name))
      continue
    try:
      made += [make(name, budget) for budget in sorted(budgets)]
    except ValueError as error:
      refused.append(str(error))
  return made, refused
