"""A round of a journey: what a network searches, writes down, and can do."""

import copy
import dataclasses
import functools
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alphallm import config as config_lib
from alphallm import (
  finetune,
  measure,
  rewards,
  search,
  tasks,
  tuning,
  values,
)
from alphallm.initialization import journeys, pretrained_policy
from alphallm.models import transformer
from alphallm.search import continuation, play, search_config

THOUGHTS = "thoughts.jsonl"  # of a round, what is imitated in it
_BATCH = 64  # problems at a time


@dataclasses.dataclass(frozen=True)
class JourneyConfig:
  """How many trees are written down, and how often."""

  num_rounds: int = 3
  num_problems: int = 2_000  # searched in each round
  every_state: bool = True  # a thought begins at each state on the way, too
  budgets: tuple[int, ...] = (4, 16)  # of the tree searches that are measured

  def __post_init__(self):
    if not all(type(n) is int and n > 0 for n in self.budgets):
      raise ValueError(f"budgets={self.budgets!r} are not numbers above 0")


@dataclasses.dataclass(frozen=True)
class Journey:
  """The parts of a journey, made from its config.

  Attributes:
    journey: how many trees, how often.
    search: how they are searched.
    settings: the config of a round's `alphallm.finetune`, a ConfigDict without
      its data.
  """

  journey: JourneyConfig
  search: search_config.SearchConfig
  settings: Any

  def round_config(self, workdir: pathlib.Path, number: int) -> Any:
    """Return the config of round `number`, from 1."""
    config = copy.deepcopy(self.settings)
    data = workdir / f"round_{number}" / THOUGHTS
    with config.unlocked():
      config.data = {"kind": "records", "path": str(data)}
      if number > 1:
        before = workdir / f"round_{number - 1}" / finetune.MODEL
        config.model = {"pretrained": str(before)}
    return config


def make(config: Any) -> Journey:
  """Make the parts of a journey.

  Args:
    config: a ConfigDict, see `configs/journey.py`.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  settings = copy.deepcopy(config)
  rooms = settings.to_dict()
  for room in ("journey", "search"):
    if not isinstance(rooms.get(room), dict):
      raise values.UserError(f"config.{room} is missing")
    with settings.unlocked():
      del settings[room]
  policy = rooms["search"].pop("policy", {"kind": "gumbel"})
  how = values.make(
    search_config.SearchConfig,
    "search",
    rooms["search"],
    policy=config_lib.make_policy(policy),
  )
  if not (how.checks and how.num_simulations):
    raise values.UserError(
      "config.search: trees that are written down need num_simulations above 0 "
      "and permission='checker', which tells where they end"
    )
  journey = values.make(JourneyConfig, "journey", rooms["journey"])
  least = how.policy.least_simulations
  if any(budget < least for budget in journey.budgets):
    raise values.UserError(
      f"config.journey.budgets={journey.budgets}: the policy of config.search "
      f"needs at least {least} simulations"
    )
  return Journey(journey=journey, search=how, settings=settings)


class Round:
  """What the network after a round can do; round 0 is before the first.

  Attributes:
    run: of the next round, whose first policy it is.
  """

  def __init__(self, parts: Journey, workdir: pathlib.Path, number: int):
    """Load the network.

    Raises:
      UserError: if the config does not fit.
    """
    self._parts = parts
    self.run = tuning.make(parts.round_config(workdir, number + 1))
    if not isinstance(self.run.task, tasks.Thoughts):
      raise values.UserError("config.task.kind: a journey needs 'Thoughts'")
    try:
      self._steps = tasks.Proposals(thoughts=self.run.task)
    except ValueError as error:
      raise values.UserError(f"config.task.source: {error}") from error
    shape, self._key = self.run.model.config, jax.random.key(self.run.seed)
    if self.run.pretrained:
      self.params = pretrained_policy.load(self.run.pretrained, shape)
    else:
      self.params = transformer.init_params(shape, self._key)

  def write(self, path: pathlib.Path, number: int) -> dict[str, float]:
    """Write the thoughts of searches as records, whole or not at all.

    Returns:
      `trees_solved`, the share of trees with a solution, `thoughts`, how many
      were written, and `left_out` of them, which have no room.

    Raises:
      UserError: if there are none.
    """
    run, parts, steps = self.run, self._parts, self._steps
    rng = np.random.default_rng([run.seed, number])
    problems = steps.sample_numpy(rng, parts.journey.num_problems, "train")

    def search_once(params, rng_keys, problems):
      found = play.solve(
        run.model.apply,
        steps,
        parts.search,
        params,
        rng_keys,
        problems,
        max_moves=1,
        keep_tree=True,
      )
      return journeys.nodes_of(steps, found.tree)

    key = jax.random.fold_in(self._key, number)
    every = measure.run(
      jax.jit(search_once), self.params, key, problems, batch_size=_BATCH
    )
    tokenizer, lines, left_out = run.task.tokenizer, [], 0
    for row in range(parts.journey.num_problems):
      nodes = jax.tree.map(lambda x, row=row: x[row], every)
      for record in journeys.records(
        nodes, tokenizer.decode, every_state=parts.journey.every_state
      ):
        response = tokenizer.encode(record["response"])
        if run.task.has_room([*response, tokenizer.eos_id]):
          lines.append(json.dumps(record))
        else:
          left_out += 1
    solved = np.any(every.solved & every.kept, axis=1).mean()
    if not lines:
      raise values.UserError(
        f"of {parts.journey.num_problems} trees none with a solution has room "
        "in config.task; give more config.search.num_simulations or max_tokens"
      )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.replace(path)
    return {
      "trees_solved": float(solved),
      "thoughts": len(lines),
      "left_out": left_out,
    }

  def measure(self, *, thoughts: bool) -> dict[str, Any]:
    """Return what the network solves of held-out problems, by what it costs.

    Args:
      thoughts: whether it has learnt to write any.

    Returns:
      `greedy`, of steps without a tree; `mcts_N`, to which no rule proposes
      steps; `imagined_N`, the same search with the network in place of the
      environment; and `thought`, of greedy thoughts; the shares that are
      solved. `curves`: points of mean tokens a problem and the share solved: of
      the searches by their budgets, of `thought` by the most tokens that a
      thought may have.
    """
    run, steps, train = self.run, self._steps, self.run.train
    problems = measure.held_out(steps, train.num_eval_problems)

    def solved(strategy, problems):
      found = measure.run(
        jax.jit(strategy),
        self.params,
        self._key,
        problems,
        batch_size=train.eval_batch_size,
      )
      return np.asarray(found.solved), measure.tokens(found)

    greedy, _ = solved(search.greedy(run.model.apply, steps), problems)
    figures: dict[str, Any] = {"greedy": float(greedy.mean())}
    curves: dict[str, list[list[float]]] = {"mcts": []}
    for budget in self._parts.journey.budgets:
      config = dataclasses.replace(
        self._parts.search,
        num_simulations=budget,
        policy=self._parts.search.policy.quiet(),
        rules_propose=False,
      )
      right, tokens = solved(
        lambda *args, config=config: play.solve(
          run.model.apply, steps, config, *args
        ),
        problems,
      )
      figures[f"mcts_{budget}"] = float(right.mean())
      curves["mcts"].append([float(tokens.mean()), float(right.mean())])
      if thoughts:
        right, tokens = self._imagined(config, problems)
        figures[f"imagined_{budget}"] = float(right.mean())
        curves.setdefault("imagined", []).append(
          [float(tokens.mean()), float(right.mean())]
        )
    if thoughts:
      task = tuning.whole(run)
      right, tokens = solved(
        search.greedy(run.model.apply, task), run.task.pose(problems)
      )
      figures["thought"] = float(right.mean())
      curves["thought"] = by_length(right, tokens)
    return figures | {"curves": curves}

  def _imagined(self, config, problems):
    """Return which problems are solved by plans that were made in thought.

    A plan is made to its end before the environment is told of it. What the
    network writes to see where steps lead, those of all candidates and of each
    node, is counted as tokens.
    """
    run, steps = self.run, self._steps

    def plan(params, rng_keys, problems):
      task = tasks.Imagination(
        task=steps,
        write=functools.partial(continuation.greedy, run.model.apply, params),
      )
      found = play.solve(
        run.model.apply, task, config, params, rng_keys, problems
      )
      made = found.episode
      paid = rewards.base.replay(
        steps,
        problems,
        made.steps[:, :-1],
        made.step_lengths[:, :-1],
        made.num_steps,
      )
      cost, seen = found.cost, config.num_candidates + 1
      spent = cost.nodes * seen * task.tokens_of_step
      tokens = cost.decoded + cost.prefilled + spent
      return jnp.sum(paid, axis=-1) >= 1, tokens

    return measure.run(
      jax.jit(plan),
      self.params,
      self._key,
      problems,
      batch_size=run.train.eval_batch_size,
    )


def by_length(solved: np.ndarray, tokens: np.ndarray) -> list[list[float]]:
  """Return what is solved by the most tokens that are allowed, as points.

  Args:
    solved: `[n]` bool, by texts of any length.
    tokens: `[n]`, of these texts.

  Returns:
    The mean tokens that are spent and the share solved, for budgets that double
    up to the longest text.
  """
  points, most = [], 8
  while True:
    spent = np.minimum(tokens, most)
    points.append(
      [float(spent.mean()), float((solved & (tokens <= most)).mean())]
    )
    if most >= tokens.max():
      return points
    most *= 2
