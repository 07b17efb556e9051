"""What comes before a run: supervised tuning, and a reward model.

A config may have four rooms that are no part of the run itself:

  slots         the choice of each of the five slots, in words
  finetune      a supervised run (`data`, `tuning`, `train`; `task`, where it is
                another) of the config's model; its result is the first policy
  train_reward  a reward model of the first policy; every model of
                `config.reward`, and `config.search.process_reward`, that names
                no workdir is this one
  evaluation    how the trained policy searches when it is tested: `methods` and
                `budgets`, as `alphallm.evaluate` takes them
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from alphallm import (
  checkpoint,
  finetune,
  metrics,
  program,
  reward_models,
  runs,
  train_reward,
  values,
)
from alphallm import config as config_lib

SLOTS = (
  "initialization",
  "reward",
  "training_search",
  "learning",
  "test_search",
)
FINETUNED = "finetune"  # folders of a workdir: the supervised run,
FIRST = "first"  # and the first policy, with the reward model of it
_ROOMS = ("slots", "finetune", "train_reward", "evaluation")


def plain(config: Any, workdir: pathlib.Path) -> Any:
  """Return the config of the run itself, which says where its parts will lie.

  Args:
    config: a ConfigDict, with or without the rooms of phases.
    workdir: of the run.
  """
  settings = config.copy_and_resolve_references().unlock()
  for room in _ROOMS:
    if room in settings:
      del settings[room]
  if "finetune" in config:
    model = workdir.absolute() / FINETUNED / finetune.MODEL
    dtypes = {
      name: config.model[name]
      for name in ("dtype", "param_dtype", "remat")
      if name in config.model
    }
    settings.model = {"pretrained": str(model), **dtypes}
  if "train_reward" in config:
    where = {"workdir": str(workdir.absolute() / FIRST), "name": _name(config)}
    settings.reward = _located(config.reward.to_dict(), where)
    if "process_reward" in config.search:
      guide = settings.search.process_reward.to_dict()
      settings.search.process_reward = where | guide
  return settings.lock()


def supervised(config: Any) -> Any:
  """Return the config of the supervised phase, as `alphallm.finetune` takes it.

  Raises:
    UserError: for a name in the room that it has not.
  """
  room = config.finetune.to_dict()
  values.check_names("finetune.", room, ("task", "data", "tuning", "train"))
  settings = {
    "seed": config.seed,
    "task": room.pop("task", config.task.to_dict()),
    "model": config.model.to_dict(),
    **room,
  }
  if "mesh" in config:
    settings["mesh"] = config.mesh.to_dict() | {"actors": 0, "gather": "entry"}
  return type(config)(settings)


def test_search(config: Any) -> tuple[list[str], list[int] | None] | None:
  """Return the methods and the budgets of the test, if the config names them.

  Raises:
    UserError: if they are malformed.
  """
  if "evaluation" not in config:
    return None
  settings = config.evaluation.to_dict()
  values.check_names("evaluation.", settings, ("methods", "budgets"))
  found = []
  for name, kind in (("methods", str), ("budgets", int)):
    if name == "budgets" and name not in settings:
      return found[0], None
    given = settings.get(name)
    if not isinstance(given, list | tuple) or not given:
      raise values.UserError(f"config.evaluation.{name}={given!r} is no list")
    for value in given:
      values.check_value(f"evaluation.{name}", value, kind)
    found.append(list(given))
  return tuple(found)


def prepare(config: Any, workdir: pathlib.Path) -> Any:
  """Run the phases before a run, or what is left of them.

  Returns:
    The config of the run, see `plain`.

  Raises:
    UserError, CheckpointError, Stopped: as the programs of the phases.
  """
  run = plain(config, workdir)
  if checkpoint.any_in(workdir / "checkpoints"):
    return run
  if "train_reward" in config and jax.process_count() > 1:
    raise values.UserError(
      "config.train_reward: a reward model is trained on one host; begin there,"
      " go on with all once there is a checkpoint"
    )
  if "finetune" in config:
    _finetune(config, workdir / FINETUNED)
  if "train_reward" in config:
    _train_reward(config, run, workdir / FIRST)
  return run


def tokens_spent(workdir: pathlib.Path) -> dict[str, int]:
  """Return the tokens that went into a policy, by phase.

  Those of documents, of samples and their labels for a reward model, and of
  self-play. What is learned from is not counted once more.
  """
  spent = {}
  for name, folder in (("documents", FINETUNED), ("self-play", ".")):
    if (workdir / folder / "metrics.jsonl").exists():
      lines = metrics.read_metrics(workdir / folder)
      spent[name] = round(sum(line.get("tokens", 0) for line in lines))
  for path in (workdir / FIRST / "rewards").glob("*/summary.json"):
    figures = json.loads(path.read_text())
    names = ("sample_tokens", "label_tokens")
    spent["reward"] = sum(figures.get(name, 0) for name in names)
  return spent


def _finetune(config: Any, workdir: pathlib.Path) -> None:
  """Run or resume the supervised phase, unless it is over."""
  settings = supervised(config)
  path = workdir / "summary.json"
  if path.exists():
    done = json.loads(path.read_text()).get("train_steps")
    if done == settings.get("train", {}).get("num_steps"):
      return
  print("phase: supervised tuning", flush=True)
  finetune.run(settings, workdir)


def _train_reward(config: Any, run_config: Any, workdir: pathlib.Path) -> None:
  """Train the reward model on samples of the first policy, unless there is one.

  Args:
    config: of all.
    run_config: of the run itself.
    workdir: where the first policy is put, a run that has not learned yet.
  """
  settings, name = config.train_reward.to_dict(), _name(config)
  made = reward_models.make_config({"seed": config.seed, **settings})
  if checkpoint.any_in(workdir / "rewards" / name / "checkpoints"):
    return
  print(f"phase: a reward model, {name}", flush=True)
  if not checkpoint.any_in(workdir / "checkpoints"):
    settled = run_config.to_dict()
    settled["search"].pop("process_reward", None)  # which does not exist yet
    for room in ("reward", "before"):
      settled.pop(room, None)
    first = type(run_config)(settled)
    run = config_lib.make_run(first)
    params = runs.load_first(run)
    kept = params if run.pretrained else None
    program.claim(workdir, first, run.model, run.task.tokenizer, kept)
    with checkpoint.Checkpointer(workdir / "checkpoints") as checkpointer:
      checkpointer.save(0, {"learner": {"average": params}})
  unmeasured = train_reward.run(made, workdir, name, settings)
  if unmeasured:
    print(unmeasured, flush=True)


def _name(config: Any) -> str:
  """Return the name of the reward model, that of its kind."""
  return str(config.train_reward.get("kind"))


def _located(
  reward: Mapping[str, Any], where: dict[str, str]
) -> dict[str, Any]:
  """Return a reward whose models are those of `where`, unless they say so."""
  reward = dict(reward)
  if reward.get("kind") == "model":
    reward = where | reward
  if "parts" in reward:
    reward["parts"] = tuple(_located(part, where) for part in reward["parts"])
  return reward
