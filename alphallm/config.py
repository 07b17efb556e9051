"""From a config file to the parts of a run."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alphallm import selfplay, tasks, tokenizer, values
from alphallm.initialization import pretrained_policy
from alphallm.learning import (
  actor_critic,
  alphazero,
  cloning,
  dpo,
  learner,
  objective,
  ppo,
  reinforce,
)
from alphallm.models import pretrained, transformer
from alphallm.search import policies, tree_search

UserError = values.UserError


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """How long a run is, and what it does on the way."""

  num_iterations: int = 100  # of self-play and learning
  evaluate_every: int = 10  # iterations
  checkpoint_every: int = 10  # iterations
  num_eval_problems: int = 256
  eval_batch_size: int = 256  # of these problems at a time
  eval_simulations: int = 16
  eval_level: int = 0  # size of the problems measured; 0: all sizes
  fsdp: bool = False  # parameters and optimizer split over the devices
  first_level: int = (
    0  # largest problems at first; 0: all levels from the start
  )
  level_up: float = 0.9  # share of episodes solved at which the level rises


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
  pretrained: pathlib.Path | None = None  # where the first policy lies

  @property
  def has_reference(self) -> bool:
    """Whether a reference policy takes part in the loss."""
    return bool(self.learner.kl_weight) or self.objective.refers

  @property
  def refers_to_pretrained(self) -> bool:
    """Whether that is the pretrained model for good."""
    return self.has_reference and not self.learner.reference_every


# The tasks that draw their own problems.
_TASKS = ("BlocksWorld", "Countdown", "Game24", "GradeSchool", "Sums")


# What can be learned from what a search has visited.
_LEARNERS = {
  "ActorCritic": actor_critic.ActorCritic,
  "AlphaZero": alphazero.AlphaZero,
  "Cloning": cloning.Cloning,
  "DPO": dpo.DPO,
  "GRPO": ppo.GRPO,
  "PPO": ppo.PPO,
  "Reinforce": reinforce.Reinforce,
  "ReMax": reinforce.ReMax,
  "RLOO": reinforce.RLOO,
  "StepDPO": dpo.StepDPO,
  "TreeAlphaZero": alphazero.TreeAlphaZero,
  "TreePPO": ppo.TreePPO,
}


def make_run(config: Any, workdir: pathlib.Path | None = None) -> Run:
  """Make the parts of a run.

  Args:
    config: a ConfigDict, see `configs/quickstart.py`.
    workdir: if it holds a tokenizer or a pretrained model, that one is used.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  settings = config.to_dict()
  kinds = {field.name: field.type for field in dataclasses.fields(Run)}
  del kinds["pretrained"], kinds["objective"]
  values.check_names("", settings, kinds)
  for room in kinds:
    if room not in settings:
      raise UserError(f"config.{room} is missing")
    if room != "seed" and not isinstance(settings[room], dict):
      raise UserError(f"config.{room}={settings[room]!r} is not a dict")
  values.check_value("seed", settings["seed"], int)
  if "pretrained" in settings["model"]:
    source, vocabulary, shape = _pretrained(settings["model"], workdir)
    task = _make_task(settings["task"], vocabulary)
  else:
    source = None
    task = _make_task(settings["task"], _own_tokenizer(workdir))
    shape = _make(
      transformer.TransformerConfig,
      "model",
      settings["model"],
      vocab_size=task.vocab_size,
    )
  training, what = make_learner(settings["learner"])
  run = Run(
    seed=settings["seed"],
    task=task,
    model=transformer.PolicyValueTransformer(shape),
    search=_make(
      tree_search.SearchConfig,
      "search",
      settings["search"],
      policy=make_policy(settings["search"]),
    ),
    selfplay=_make(selfplay.SelfPlayConfig, "selfplay", settings["selfplay"]),
    learner=training,
    objective=what,
    train=_make(TrainConfig, "train", settings["train"]),
    pretrained=source,
  )
  _check_together(run)
  return run


def _pretrained(settings: dict[str, Any], workdir):
  """Return where a pretrained model lies, its tokenizer, and its shape.

  Args:
    settings: of the config's room `model`.
    workdir: whose copy is taken, if there is one.
  """
  settings = dict(settings)
  path = settings.pop("pretrained")
  for name, value in settings.items():
    if name not in ("dtype", "param_dtype"):
      raise UserError(
        f"config.model.{name} does not go with config.model.pretrained, whose "
        "file tells the shape; dtype and param_dtype do"
      )
    values.check_value(f"model.{name}", value, str)
  try:
    source = pretrained_policy.find(path, workdir)
    vocabulary = pretrained.load_tokenizer(source)
    shape = pretrained_policy.shape(source, vocabulary, **settings)
  except ValueError as error:
    raise UserError(f"config.model.pretrained: {error}") from error
  return source, vocabulary, shape


def _own_tokenizer(workdir) -> tokenizer.Tokenizer | None:
  """Return the tokenizer that a workdir holds, if any."""
  path = pathlib.Path(workdir or "") / "tokenizer.model"
  if workdir is None or not path.exists():
    return None
  try:
    return tokenizer.Tokenizer.load(path)
  except ValueError as error:
    raise UserError(f"{path} is damaged: {error}") from error


def _make_task(settings: dict[str, Any], vocabulary) -> tasks.Task:
  kind = settings.pop("kind", None)
  if kind not in _TASKS:
    raise UserError(f"config.task.kind={kind!r} is none of {', '.join(_TASKS)}")
  if vocabulary is not None:
    settings["tokenizer"] = vocabulary
  task = _make(getattr(tasks, kind), "task", settings)
  for split in ("train", "test"):
    try:
      task.sample_numpy(np.random.default_rng(0), 1, split)
    except ValueError as error:
      raise UserError(f"config.task: {error}") from error
  return task


def make_policy(search_settings: dict[str, Any]) -> policies.Policy:
  """Return the search policy from its settings, `{"kind": ..., ...}`.

  Raises:
    UserError: if a setting is unknown or out of range.
  """
  settings = dict(search_settings.get("policy", {"kind": "gumbel"}))
  kinds = {"gumbel": policies.Gumbel, "puct": policies.Puct}
  kind = settings.pop("kind", None)
  if kind not in kinds:
    raise UserError(
      f"config.search.policy.kind={kind!r} is none of {', '.join(kinds)}"
    )
  known = {field.name: field.type for field in dataclasses.fields(kinds[kind])}
  values.check_names("search.policy.", settings, known)
  for name, value in settings.items():
    values.check_value(f"search.policy.{name}", value, known[name])
  return kinds[kind](**settings)


def make_learner(
  settings: dict[str, Any],
) -> tuple[learner.LearnerConfig, objective.Objective]:
  """Return how and what is learned from `{"kind": ..., ...}`.

  The options of the kind stand beside those that all kinds have.

  Raises:
    UserError: if an option is unknown, of another kind, or out of range.
  """
  settings = dict(settings)
  kind = settings.pop("kind", "AlphaZero")
  if kind not in _LEARNERS:
    raise UserError(
      f"config.learner.kind={kind!r} is none of {', '.join(_LEARNERS)}"
    )
  cls = _LEARNERS[kind]
  names = [field.name for field in dataclasses.fields(cls)]
  own = {k: v for k, v in settings.items() if k in names}
  others = {k: v for k, v in settings.items() if k not in names}
  common = [field.name for field in dataclasses.fields(learner.LearnerConfig)]
  values.check_names("learner.", others, common + names)
  return (
    _make(learner.LearnerConfig, "learner", others),
    _make(cls, "learner", own),
  )


def _make(cls: type, room: str, settings: dict[str, Any], **given: Any) -> Any:
  """Return a dataclass of a room's settings; `given` are not from the user."""
  kinds = {field.name: field.type for field in dataclasses.fields(cls)}
  settings = {k: v for k, v in settings.items() if k != "policy"}
  values.check_names(f"{room}.", settings, kinds.keys() - given.keys())
  for name, value in settings.items():
    values.check_value(f"{room}.{name}", value, kinds[name])
  try:
    return cls(**settings, **given)
  except (TypeError, ValueError) as error:
    raise UserError(f"config.{room}: {error}") from error


def _check_together(run: Run) -> None:
  """Raise unless the parts of a run fit each other."""
  search, play, task = run.search, run.selfplay, run.task
  for name in ("dtype", "param_dtype"):
    value = getattr(run.model.config, name)
    if value not in ("float32", "bfloat16", "float16"):
      raise UserError(
        f"config.model.{name}={value!r} is none of float32, bfloat16, float16"
      )
  if play.num_targets > search.num_candidates:
    raise UserError(
      f"config.selfplay.num_targets={play.num_targets} is more than "
      f"config.search.num_candidates={search.num_candidates}"
    )
  if search.num_simulations and search.permission == "nothing":
    if task.context == "reset":
      raise UserError(
        "config.search.permission='nothing' needs config.task.context='append':"
        " a context that is reset consists of what may not be asked"
      )
  answers = task.max_observation_tokens > 0
  if search.carry_over and answers and search.permission == "nothing":
    raise UserError(
      "config.search.carry_over=True needs config.search.permission='rules' or "
      "'checker': what the environment answers is not in the tree"
    )
  if search.num_simulations < search.policy.least_simulations:
    raise UserError(
      f"config.search.num_simulations={search.num_simulations}: "
      f"{type(search.policy).__name__} needs at least "
      f"{search.policy.least_simulations}"
    )
  _check_learner(run)
  if run.learner.worked and not isinstance(task, tasks.Questions):
    raise UserError(
      f"config.learner.worked={run.learner.worked}: {task.name} has no worked "
      "answers"
    )
  if run.learner.worked and (run.objective.least_group or run.objective.nodes):
    raise UserError(
      f"config.learner.worked={run.learner.worked}: "
      f"{type(run.objective).__name__} does not imitate"
    )
  if run.learner.augment:
    tokens = jnp.zeros((task.max_step_tokens,), jnp.int32)
    try:
      jax.eval_shape(task.augment, jax.random.key(0), tokens, tokens)
    except NotImplementedError as error:
      raise UserError(f"config.learner.augment=True: {error}") from error
  if search.rules_propose:
    drawn = task.sample_numpy(np.random.default_rng(0), 1, "train")
    propose = lambda p: task.random_step(jax.random.key(0), task.init(p))
    try:
      jax.eval_shape(propose, jax.tree.map(lambda x: x[0], drawn))
    except NotImplementedError as error:
      raise UserError(f"config.search.rules_propose=True: {error}") from error
  for name in ("first_level", "eval_level"):
    level = getattr(run.train, name)
    if level and level not in task.levels:
      levels = ", ".join(map(str, task.levels)) or "none"
      raise UserError(
        f"config.train.{name}={level} is no level of the task, which has "
        f"{levels}"
      )
  states = 1 if task.context == "append" else task.max_steps + 1
  most = max(play.num_slots * play.num_moves * states, run.learner.worked)
  if run.learner.capacity < most:
    raise UserError(
      f"config.learner.capacity={run.learner.capacity} is less than one "
      f"iteration may bring, {most}"
    )


def _check_learner(run: Run) -> None:
  """Raise unless the learner fits the rest of the run."""
  what, how, play, search = run.objective, run.learner, run.selfplay, run.search
  kind = type(what).__name__
  no_reference = run.pretrained is None and not how.reference_every
  if how.kl_weight and no_reference:
    raise UserError(
      f"config.learner.kl_weight={how.kl_weight} needs "
      "config.model.pretrained, to which it holds the policy, or "
      "config.learner.reference_every"
    )
  if what.refers and no_reference:
    raise UserError(
      f"config.learner.kind={kind!r} needs a reference: "
      "config.model.pretrained, or config.learner.reference_every"
    )
  if how.reference_every and not run.has_reference:
    raise UserError(
      f"config.learner.reference_every={how.reference_every}: without a "
      "kl_weight nothing refers to it"
    )
  if how.kl_target and not how.kl_weight:
    raise UserError(
      f"config.learner.kl_target={how.kl_target} needs a kl_weight to adapt"
    )
  if play.group_size < what.least_group:
    raise UserError(
      f"config.selfplay.group_size={play.group_size}: {kind} needs at least "
      f"{what.least_group}"
    )
  if what.least_group and search.plays_solution:
    raise UserError(
      f"config.search.play_solution=True: {kind} learns from steps that the "
      "policy has chosen; set it to False, or permission to 'rules' or "
      "'nothing'"
    )
  if what.recall and not how.max_age:
    raise UserError(
      f"config.learner.max_age=0: {kind} learns from what the present policy "
      "has played (1), or those just before it"
    )
  if how.augment and not what.augments:
    raise UserError(
      f"config.learner.augment=True: {kind} compares with what was played, and "
      "that was not augmented"
    )
  if what.nodes and (
    not search.num_simulations or search.permission == "nothing"
  ):
    raise UserError(
      f"config.learner.kind={kind!r} learns from trees: it needs "
      "config.search.num_simulations and permission 'rules' or 'checker'"
    )
  greedy = play.greedy_first
  if greedy != isinstance(what, reinforce.ReMax):
    raise UserError(
      f"config.selfplay.greedy_first={greedy}: it is what ReMax needs, and no "
      "other learner"
    )
  if greedy and (search.num_simulations or search.num_candidates > 1):
    raise UserError(
      "config.selfplay.greedy_first=True needs config.search.num_simulations=0 "
      "and num_candidates=1: a search is not greedy"
    )


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

  The length of the run and how often it is measured may change.
  """
  settings = config.to_dict()
  settings.pop("train")
  text = json.dumps(settings, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
