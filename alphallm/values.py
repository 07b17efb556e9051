"""The values of a config: which kind each has, and in what range."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

# Whole numbers are at least 1 and other numbers above 0, except for these,
# which may be 0 too.
_MAY_BE_ZERO = {
  "seed",
  "task.num_examples",
  "learner.likelihood_weight",
  "search.num_simulations",
  "search.searched_steps",
  "search.shrink",
  "search.top_k",
  "search.process_weight",
  "search.rollout_steps",
  "search.rollout_weight",
  "search.min_p",
  "search.policy.gumbel_scale",
  "search.policy.value_scale",
  "search.policy.dirichlet_fraction",
  "search.policy.temperature",
  "train.first_level",
  "train.eval_level",
  "train.num_iterations",
  "learner.warmup_steps",
  "learner.min_examples",
  "learner.final_rate",
  "learner.b2",
  "learner.weight_decay",
  "learner.value_weight",
  "learner.value_rate",
  "learner.kl_weight",
  "learner.worked",
  "learner.average",
  "learner.kl_target",
  "learner.reference_every",
  "learner.max_age",
  "learner.lora_rank",
  "tuning.lora_rank",
  "learner.clip_high",
  "learner.gae_lambda",
  "learner.td_lambda",
  "learner.value_clip",
  "learner.entropy_weight",
  "learner.most_per_problem",
  "learner.least_gap",
  "learner.least_reward",
  "learner.failure_share",
  "selfplay.budget",
  "selfplay.ahead",
  "selfplay.group_size",
  "reward.length_budget",
  "mesh.data",
  "mesh.actors",
  "mesh.min_size",
  "tuning.warmup_steps",
  "tuning.final_rate",
  "tuning.b2",
  "tuning.weight_decay",
  "tuning.average",
}
_AT_MOST_ONE = {
  "train.level_up",
  "search.discount",
  "search.process_weight",
  "search.rollout_weight",
  "search.top_p",
  "search.min_p",
  "search.policy.dirichlet_fraction",
  "learner.final_rate",
  "learner.b2",
  "learner.average",
  "learner.gae_lambda",
  "learner.td_lambda",
  "learner.failure_share",
  "tuning.final_rate",
  "tuning.b2",
  "tuning.average",
}


class UserError(Exception):
  """Bad input; its one line says what is wrong and how to mend it."""


def check_names(
  prefix: str, names: Iterable[str], known: Iterable[str]
) -> None:
  """Raise unless all names are known; `prefix` is that of their room."""
  for name in names:
    if name not in known:
      raise UserError(
        f"config.{prefix}{name} is unknown; there are "
        + ", ".join(sorted(known))
      )


def check_value(key: str, value: Any, kind: Any) -> None:
  """Raise unless a value is of the kind that is declared, and in its range."""
  if kind == int | None and value is not None:
    kind = int
  if kind not in (int, float, bool, str):
    return
  if type(value) is not kind and not (kind is float and type(value) is int):
    raise UserError(f"config.{key}={value!r} is not of type {kind.__name__}")
  if kind in (bool, str):
    return
  least = 0 if key in _MAY_BE_ZERO else 1 if kind is int else None
  most = 1 if key in _AT_MOST_ONE else 2**31 - 1 if kind is int else None
  if not math.isfinite(value):
    raise UserError(f"config.{key}={value} is not finite")
  if least is None and value <= 0:
    raise UserError(f"config.{key}={value} must be above 0")
  if least is not None and value < least:
    raise UserError(f"config.{key}={value} must be at least {least}")
  if most is not None and value > most:
    raise UserError(f"config.{key}={value} must be at most {most}")


def make(cls: type, room: str, settings: dict[str, Any], **given: Any) -> Any:
  """Return a dataclass of a room's settings.

  Args:
    cls: the dataclass.
    room: of the config; "" for the config itself.
    settings: what the user has set there.
    **given: fields that are not the user's.

  Raises:
    UserError: if a setting is unknown or out of range.
  """
  kinds = {field.name: field.type for field in dataclasses.fields(cls)}
  prefix = f"{room}." if room else ""
  check_names(prefix, settings, kinds.keys() - given.keys())
  for name, value in settings.items():
    check_value(f"{prefix}{name}", value, kinds[name])
  try:
    return cls(**settings, **given)
  except (TypeError, ValueError) as error:
    where = f"config.{room}" if room else "config"
    raise UserError(f"{where}: {error}") from error
