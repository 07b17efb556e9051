"""What must hold between the parts of a run; what does not is refused."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tasks, values
from alphallm.learning import kinds
from alphallm.models import transformer


def check(run: Any) -> None:
  """Raise unless the parts of a run, see `config.Run`, fit each other.

  Raises:
    UserError: one line that names what does not fit.
  """
  search, play, task = run.search, run.selfplay, run.task
  for name in ("dtype", "param_dtype"):
    value = getattr(run.model.config, name)
    if value not in ("float32", "bfloat16", "float16"):
      raise values.UserError(
        f"config.model.{name}={value!r} is none of float32, bfloat16, float16"
      )
  most = run.play_search.num_candidates
  if play.num_targets > most:
    raise values.UserError(
      f"config.selfplay.num_targets={play.num_targets} is more than "
      f"config.search.num_candidates={most}"
    )
  if search.num_simulations and search.permission == "nothing":
    if task.context == "reset":
      raise values.UserError(
        "config.search.permission='nothing' needs config.task.context='append':"
        " a context that is reset consists of what may not be asked"
      )
  if run.guide is not None:
    try:
      dataclasses.replace(search, process_reward=lambda state: state.reward)
    except ValueError as error:
      raise values.UserError(f"config.search: {error}") from error
  answers = task.max_observation_tokens > 0
  if search.carry_over and answers and search.permission == "nothing":
    raise values.UserError(
      "config.search.carry_over=True needs config.search.permission='rules' or "
      "'checker': what the environment answers is not in the tree"
    )
  if search.num_simulations < search.policy.least_simulations:
    raise values.UserError(
      f"config.search.num_simulations={search.num_simulations}: "
      f"{type(search.policy).__name__} needs at least "
      f"{search.policy.least_simulations}"
    )
  kinds.check(
    run.objective,
    run.learner,
    play,
    run.play_search,
    run.reward,
    is_pretrained=run.pretrained is not None,
  )
  if run.learner.worked and not isinstance(task, tasks.Questions):
    raise values.UserError(
      f"config.learner.worked={run.learner.worked}: {task.name} has no worked "
      "answers"
    )
  check_scan(run.model, run.learner.scan_layers, "config.learner")
  if run.learner.augment:
    check_symmetries(task, "config.learner.augment=True")
  if search.rules_propose:
    check_proposes(task, "config.search.rules_propose=True")
  for name in ("first_level", "eval_level"):
    level = getattr(run.train, name)
    if level and level not in task.levels:
      levels = ", ".join(map(str, task.levels)) or "none"
      raise values.UserError(
        f"config.train.{name}={level} is no level of the task, which has "
        f"{levels}"
      )
  states = 1 if task.context == "append" else task.max_steps + 1
  if run.objective.nodes == "all":
    states = search.num_simulations + 1
  most = max(play.num_slots * play.num_moves * states, run.learner.worked)
  if run.learner.capacity < most:
    raise values.UserError(
      f"config.learner.capacity={run.learner.capacity} is less than one "
      f"iteration may bring, {most}"
    )


def check_scan(model: Any, scan_layers: bool, room: str) -> None:
  """Raise if layers are to be passed in a loop that cannot be."""
  try:
    transformer.learning(model, scan_layers)
  except ValueError as error:
    raise values.UserError(f"{room}.{error}") from error


def check_symmetries(task: tasks.Task, wish: str) -> None:
  """Raise, naming the `wish` for them, if the task has none."""
  tokens = jnp.zeros((task.max_step_tokens,), jnp.int32)
  try:
    jax.eval_shape(task.augment, jax.random.key(0), tokens, tokens)
  except NotImplementedError as error:
    raise values.UserError(f"{wish}: {error}") from error


def check_proposes(task: tasks.Task, wish: str) -> None:
  """Raise, naming the `wish` for it, if no rule of the task proposes steps."""
  drawn = task.sample_numpy(np.random.default_rng(0), 1, "train")
  propose = lambda p: task.random_step(jax.random.key(0), task.init(p))
  try:
    jax.eval_shape(propose, jax.tree.map(lambda x: x[0], drawn))
  except NotImplementedError as error:
    raise values.UserError(f"{wish}: {error}") from error
