"""From a config file to the parts of a run."""

import copy
import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from alphallm import consistency, selfplay, sharding, tasks, tokenizer, values
from alphallm.initialization import pretrained_policy
from alphallm.learning import kinds, learner, objective, payment, stages
from alphallm.models import pretrained, transformer
from alphallm.search import policies, tree_search

UserError = values.UserError


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """How long a run is, and what it does on the way."""

  num_iterations: int = 100  # of self-play and learning; 0: none
  evaluate_every: int = 10  # iterations
  checkpoint_every: int = 10  # iterations
  num_eval_problems: int = 256
  eval_batch_size: int = 256  # of these problems at a time
  eval_simulations: int = 16
  eval_level: int = 0  # size of the problems measured; 0: all sizes
  first_level: int = (
    0  # largest problems at first; 0: all levels from the start
  )
  level_up: float = 0.9  # share of episodes solved at which the level rises
  oversample: int = 1  # problems drawn for each that is attempted


@dataclasses.dataclass(frozen=True)
class Run:
  """The parts of a run, made from its config."""

  seed: int
  task: tasks.Task
  model: transformer.PolicyValueTransformer
  search: tree_search.SearchConfig
  selfplay: selfplay.SelfPlayConfig
  learner: learner.LearnerConfig
  objective: objective.Objective
  train: TrainConfig
  reward: payment.PaymentConfig = payment.PaymentConfig()
  guide: payment.Model | None = None  # the process reward of the search
  mesh: sharding.MeshConfig = sharding.MeshConfig()
  pretrained: pathlib.Path | None = None  # where the first policy lies

  @property
  def play_search(self) -> tree_search.SearchConfig:
    """How the moves of self-play are found, by search or by sampling.

    What a strategy plays has one candidate at each state, as what is sampled.
    """
    if self.selfplay.player == "search":
      return self.search
    return dataclasses.replace(SAMPLED, discount=self.search.discount)

  @property
  def has_reference(self) -> bool:
    """Whether a reference policy takes part in the loss."""
    return bool(self.learner.kl_weight) or self.objective.refers

  @property
  def refers_to_pretrained(self) -> bool:
    """Whether that is the pretrained model for good."""
    return self.has_reference and not self.learner.reference_every

  def parts(self, mesh: jax.sharding.Mesh) -> Any:
    """Return how parameters that play stay split; None: gathered at entry."""
    if self.mesh.gather == "entry":
      return None
    shapes = jax.eval_shape(
      functools.partial(transformer.init_params, self.model.config),
      jax.random.key(0),
    )
    return sharding.state(shapes, mesh, min_size=self.mesh.min_size)


# An episode as the policy alone writes it.
SAMPLED = tree_search.SearchConfig(
  num_simulations=0, num_candidates=1, permission="nothing"
)

_OUTCOME = {"kind": "outcome"}  # the reward where a config names none

# The tasks that draw their own problems.
_TASKS = (
  "BlocksWorld",
  "Countdown",
  "Game24",
  "GradeSchool",
  "Programs",
  "Sums",
  "Thoughts",  # about the problems of `source`, one of the others
)


def make_run(config: Any, workdir: pathlib.Path | None = None) -> Run:
  """Make the parts of a run.

  Args:
    config: a ConfigDict, see `configs/quickstart.py`.
    workdir: if it holds a tokenizer or a pretrained model, that one is used.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  return run_of(config.to_dict(), workdir)


def run_of(
  settings: dict[str, Any],
  workdir: pathlib.Path | None = None,
  *,
  make_parts: Callable[..., Any] | None = None,
) -> Run:
  """Make the parts of a run of a config in plain values; see `make_run`.

  Args:
    settings: the config.
    workdir: as of `make_run`.
    make_parts: does what `make_policy_parts` does; `None`: that.
  """
  settings = copy.deepcopy(settings)
  settings.pop("before", None)  # see `make_stages`
  settings.setdefault("reward", _OUTCOME)
  settings.setdefault("mesh", {})
  check_rooms(settings, Run)
  make_parts = make_parts or make_policy_parts
  source, task, shape = make_parts(settings, workdir)
  training, what = kinds.make(settings["learner"])
  policy = make_policy(settings["search"].pop("policy", {"kind": "gumbel"}))
  guide = settings["search"].pop("process_reward", None)
  run = Run(
    seed=settings["seed"],
    task=task,
    model=transformer.PolicyValueTransformer(shape),
    search=values.make(
      tree_search.SearchConfig,
      "search",
      settings["search"],
      policy=policy,
    ),
    selfplay=values.make(
      selfplay.SelfPlayConfig, "selfplay", settings["selfplay"]
    ),
    learner=training,
    objective=what,
    train=values.make(TrainConfig, "train", settings["train"]),
    reward=payment.make(settings["reward"]),
    guide=guide and payment.make_model("search.process_reward", guide),
    mesh=values.make(sharding.MeshConfig, "mesh", settings["mesh"]),
    pretrained=source,
  )
  consistency.check(run)
  return run


def check_rooms(settings: dict[str, Any], run: type) -> None:
  """Raise unless a config has the rooms of a kind of run.

  Raises:
    UserError: if one is missing, unknown or no room.
  """
  made = ("pretrained", "objective", "guide")  # of what the rooms say
  rooms = [f.name for f in dataclasses.fields(run) if f.name not in made]
  values.check_names("", settings, rooms)
  for room in rooms:
    if room not in settings:
      raise UserError(f"config.{room} is missing")
    if room != "seed" and not isinstance(settings[room], dict):
      raise UserError(f"config.{room}={settings[room]!r} is not a dict")
  values.check_value("seed", settings["seed"], int)


def make_policy_parts(
  settings: dict[str, Any],
  workdir: pathlib.Path | None,
  vocabulary: pathlib.Path | None = None,
) -> tuple[pathlib.Path | None, tasks.Task, transformer.TransformerConfig]:
  """Return where a pretrained model lies, if any, the task, and the shape.

  Args:
    settings: with the rooms `task` and `model`.
    workdir: as of `make_run`.
    vocabulary: a file with the tokenizer, where the workdir has none; `None`:
      the task's own.
  """
  if "pretrained" in settings["model"]:
    source, vocabulary, shape = _pretrained(settings["model"], workdir)
    return source, _make_task(settings["task"], vocabulary), shape
  kept = pathlib.Path(workdir or "") / "tokenizer.model"
  if workdir is None or not kept.exists():
    kept = vocabulary
  task = _make_task(settings["task"], kept and _read_tokenizer(kept))
  shape = values.make(
    transformer.TransformerConfig,
    "model",
    settings["model"],
    vocab_size=task.vocab_size,
  )
  return None, task, shape


def _pretrained(settings: dict[str, Any], workdir):
  """Return where a pretrained model lies, its tokenizer, and its shape.

  Args:
    settings: of the config's room `model`.
    workdir: whose copy is taken, if there is one.
  """
  settings = dict(settings)
  path, remat = settings.pop("pretrained"), settings.pop("remat", "")
  values.check_value("model.remat", remat, str)
  for name, value in settings.items():
    if name not in ("dtype", "param_dtype"):
      raise UserError(
        f"config.model.{name} does not go with config.model.pretrained, whose "
        "file tells the shape; dtype, param_dtype and remat do"
      )
    values.check_value(f"model.{name}", value, str)
  try:
    source = pretrained_policy.find(path, workdir)
    vocabulary = pretrained.load_tokenizer(source)
    shape = pretrained_policy.shape(source, vocabulary, **settings)
  except ValueError as error:
    raise UserError(f"config.model.pretrained: {error}") from error
  try:
    return source, vocabulary, dataclasses.replace(shape, remat=remat)
  except ValueError as error:
    raise UserError(f"config.model: {error}") from error


def _read_tokenizer(path: pathlib.Path) -> tokenizer.Tokenizer:
  """Return the tokenizer of a file, one that was trained here."""
  try:
    return tokenizer.Tokenizer.load(path)
  except ValueError as error:
    raise UserError(f"{path} is damaged: {error}") from error
  except OSError as error:
    raise UserError(f"{path}: {error.strerror}") from error


def _make_task(settings: dict[str, Any], vocabulary) -> tasks.Task:
  """Return the task of the config's room `task`, by the vocabulary, if any."""
  kind = settings.pop("kind", None)
  if kind not in _TASKS:
    raise UserError(f"config.task.kind={kind!r} is none of {', '.join(_TASKS)}")
  if kind == "Thoughts":
    source = settings.get("source")
    if not isinstance(source, dict):
      raise UserError(f"config.task.source={source!r} is no task's settings")
    settings["source"] = _make_task(dict(source), vocabulary)
  if vocabulary is not None:
    settings["tokenizer"] = vocabulary
  task = values.make(getattr(tasks, kind), "task", settings)
  for split in ("train", "test"):
    try:
      task.sample_numpy(np.random.default_rng(0), 1, split)
    except ValueError as error:
      raise UserError(f"config.task: {error}") from error
  return task


def make_policy(settings: dict[str, Any]) -> policies.Policy:
  """Return the search policy from its settings, `{"kind": ..., ...}`.

  Raises:
    UserError: if a setting is unknown or out of range.
  """
  settings = dict(settings)
  by_kind = {"gumbel": policies.Gumbel, "puct": policies.Puct}
  kind = settings.pop("kind", None)
  if kind not in by_kind:
    raise UserError(
      f"config.search.policy.kind={kind!r} is none of {', '.join(by_kind)}"
    )
  known = {
    field.name: field.type for field in dataclasses.fields(by_kind[kind])
  }
  values.check_names("search.policy.", settings, known)
  for name, value in settings.items():
    values.check_value(f"search.policy.{name}", value, known[name])
  return by_kind[kind](**settings)


def make_stages(
  config: Any, workdir: pathlib.Path | None = None
) -> tuple[list[stages.StageConfig], list[Run]]:
  """Return the stages before a run's own learner, and the parts of all.

  `config.before` is a tuple of stages. Each is a dict of a `StageConfig`'s
  fields, of the options of its `learner`, kind included, and of what differs
  in `search` and `selfplay`. What all kinds have in common is as in the config
  where a stage does not say otherwise; its `reward` is the outcome.

  Args:
    config: as of `make_run`.
    workdir: as of `make_run`.

  Raises:
    UserError: as `make_run`.
  """
  own = make_run(config, workdir)
  configs, runs = [], []
  for index, given in enumerate(config.to_dict().get("before", ())):
    settings, where = config.to_dict(), f"before[{index}]"
    if not isinstance(given, dict):
      raise UserError(f"config.{where}={given!r} is not a dict")
    given = dict(given)
    common = {k: v for k, v in settings["learner"].items() if k in kinds.COMMON}
    settings["learner"] = common | given.pop("learner", {})
    settings["reward"] = given.pop("reward", _OUTCOME)
    for room in ("search", "selfplay"):
      settings[room] |= given.pop(room, {})
    configs.append(values.make(stages.StageConfig, where, given))
    try:
      runs.append(run_of(settings, workdir))
    except UserError as error:
      raise UserError(f"config.{where}: {error}") from error
  return configs, [*runs, own]


def for_evaluation(run: Run, num_simulations: int) -> tree_search.SearchConfig:
  """Return the run's search without its exploration."""
  return dataclasses.replace(
    run.search,
    num_simulations=num_simulations,
    policy=run.search.policy.quiet(),
    rules_propose=False,
  )


GREEDY = tree_search.SearchConfig(
  num_simulations=0, num_candidates=1, permission="nothing", noise=False
)


def fingerprint(config: Any) -> str:
  """Return a hash of what may not change when a run is resumed.

  The length of the run, how often it is measured and on which devices it is
  may change.
  """
  settings = config.to_dict()
  settings.pop("train")
  settings.pop("mesh", None)
  text = json.dumps(settings, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
