"""The methods that the evaluation compares, each with its budgets."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from alphallm import config as config_lib
from alphallm import measure, search, tasks
from alphallm.search import play
from alphallm.search.strategies import budgets

PLAYED = {"greedy": search.greedy, "sampled": search.sampling}
# Of these nothing is scored by a guidance.
UNGUIDED = ("greedy", "sampled", "sampling", "mcts", "embedded", "auto")

# From the policy's parameters what stands in place of the environment.
World = Callable[[Any], search.embedded.Embedded]

GUIDANCES = {
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


def guidance(
  text: str,
  task: tasks.Task,
  models: Mapping[str, search.guidance.Guidance] | None = None,
  *,
  where: str = "--guidance",
) -> search.guidance.Guidance:
  """Return the guidance of a name, or of a sum such as "0.5*value+0.5*checker".

  Args:
    text: the name, or the sum.
    task: whose tokens the model is asked by.
    models: others that there are, by name.
    where: the text stands, for messages.

  Raises:
    UserError: if a name is not known, a weight is no number, or the task lacks
      the tokens.
  """

  models = models or {}

  def part(term):
    weight, star, name = term.rpartition("*")
    name = name.strip()
    try:
      weight = float(weight) if star else 1.0
      if name in models:
        return weight, models[name]
      make = GUIDANCES[name]
    except (KeyError, ValueError) as error:
      known = ", ".join([*GUIDANCES, *models])
      raise config_lib.UserError(
        f"{where}: {term!r} is none of {known}, nor a number * one of them"
      ) from error
    try:
      asks = name == "self_evaluation"
      return weight, make(task.tokenizer) if asks else make()
    except ValueError as error:
      raise config_lib.UserError(f"{where}: {error}") from error

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


def embedded(
  run: config_lib.Run, budget: int, world: World, permission: str = ""
) -> Method:
  """Return the run's tree search in the embeddings of a world model.

  Nothing but what comes of the steps that are played is asked of the
  environment; the permission says what of the model's answers is used. No rule
  proposes steps there, and no tree is carried over.

  Raises:
    ValueError: if the run's search is guided by a model that reads text, or as
      `tree_config`.
  """
  if run.search.process_reward is not None:
    raise ValueError(
      "embedded: config.search.process_reward reads text, and states are "
      "embedded"
    )
  config = dataclasses.replace(
    tree_config(run, budget, permission), rules_propose=False, carry_over=False
  )

  def solve(params, rng_keys, problems):
    return play.solve(
      run.model.apply,
      run.task,
      config,
      params,
      rng_keys,
      problems,
      world=world(params),
    )

  return Method(
    name=f"embedded_{budget}",
    solve=jax.jit(solve),
    asks="nothing",
    budget=budget,
  )


def strategy(
  run: config_lib.Run,
  name: str,
  budget: int,
  *,
  guided_by: str = "",
  permission: str = "",
  models: Mapping[str, search.guidance.Guidance] | None = None,
) -> Method:
  """Return a strategy with a budget.

  Args:
    run: of the policy.
    name: of `budgets.STRATEGIES`.
    budget: see `Method`.
    guided_by: for `guidance`; "": by the strategy's own.
    permission: what may be asked; "": see `usual_permission`.
    models: for `guidance`.

  Raises:
    ValueError: if the guidance makes no sense for the strategy.
  """
  guided_by = "" if name in UNGUIDED else guided_by
  guided = guidance(guided_by, run.task, models) if guided_by else None
  asks = permission or usual_permission(run, name)
  solve = solver(run, name, budget, guided=guided, permission=asks)
  return Method(
    name=f"{name}_{budget}",
    solve=jax.jit(solve),
    asks=asks,
    budget=budget,
    guidance=guided_by,
  )


def usual_permission(run: config_lib.Run, name: str) -> str:
  """Return what a strategy may ask: as the run's search; votes: the rules."""
  return "rules" if name in ("vote", "sampling") else run.search.permission


def solver(
  run: config_lib.Run,
  name: str,
  budget: int,
  *,
  guided: search.guidance.Guidance | None,
  permission: str,
) -> Callable[..., play.SearchResult]:
  """Return a strategy as it is, not jitted; see `strategy`."""
  make, settings = budgets.STRATEGIES[name](budget, run.search.num_candidates)
  if guided is not None:
    settings["guidance"] = guided
  return make(run.model.apply, run.task, permission=permission, **settings)


def auto(
  run: config_lib.Run,
  table: dict[str, Any],
  budget: int,
  models: Mapping[str, search.guidance.Guidance] | None = None,
) -> Method:
  """Return the choice by difficulty at a budget.

  Args:
    run: of the policy.
    table: see `compute_optimal.read`.
    budget: of the table.
    models: for `guidance`.

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
    if kind in budgets.STRATEGIES:
      votes = kind in ("vote", "sampling")
      return strategy(
        run,
        kind,
        int(number),
        guided_by=guided_by,
        permission="" if votes else table["asks"],
        models=models,
      )
    raise config_lib.UserError(f"auto: the table names {name!r}, no method")

  solvers = {name: chosen(name).solve for name in set(level["methods"])}
  solve = search.auto(
    run.model.apply,
    run.task,
    choices=[solvers[name] for name in level["methods"]],
    edges=table["edges"],
    num_samples=table["num_samples"],
    guidance=guidance(guided_by, run.task, models) if guided_by else None,
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
  models: Mapping[str, search.guidance.Guidance] | None = None,
  world: World | None = None,
) -> tuple[list[Method], list[str]]:
  """Return strategies, each with each budget, and why others were left out.

  Args:
    run: of the policy.
    names: of `budgets.STRATEGIES`, "greedy", "sampled", "mcts", "embedded" or
      "auto".
    budgets: see `Method`.
    guided_by: see `strategy`.
    permission: see `strategy`.
    table: of "auto".
    models: for `guidance`.
    world: of "embedded".

  Raises:
    UserError: if `guided_by` is no guidance.
  """
  if guided_by:
    guidance(guided_by, run.task, models)  # refuses what is no guidance at all

  def make(name, budget):
    if name == "mcts":
      return tree(run, budget, permission)
    if name == "embedded":
      return embedded(run, budget, world, permission)
    if name == "auto":
      return auto(run, table, budget, models)
    return strategy(
      run,
      name,
      budget,
      guided_by=guided_by,
      permission=permission,
      models=models,
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
