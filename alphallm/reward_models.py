"""Reward models of a policy: what they are made of, learnt and found again."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import jax
import numpy as np

from alphallm import (
  checkpoint,
  consistency,
  metrics,
  reward_lessons,
  rewards,
  runs,
  values,
)
from alphallm import config as config_lib
from alphallm.models import transformer, world_model
from alphallm.rewards import combined, training

KINDS = {
  "outcome": "right or wrong, of whole solutions",
  "process": "labels of steps",
  "preference": "Bradley-Terry, pairs of solutions",
  "pairwise": "pairs of sibling steps, as rStar-Math",
  "implicit": "DPO, pairs of solutions",
  "expert": "IQ-Learn, right solutions alone",
  "world": "the next state and its reward, as MuZero",
}
_LABELS = ("soft", "hard", "omega", "tree")


@dataclasses.dataclass(frozen=True)
class RewardConfig:
  """What a reward model is, and what it learns from."""

  kind: str  # outcome, process, preference, pairwise, implicit, expert, world
  seed: int = 0
  labels: str = "soft"  # of steps: soft, hard, omega; tree: of nodes instead
  num_rollouts: int = 8  # from each prefix, for a label
  num_simulations: int = 16  # of each tree, for labels of nodes, and a world
  aggregate: str = "last"  # of the scores of steps, for the whole
  num_problems: int = 1_000  # of the train split
  num_samples: int = 8  # solutions of each
  rules_propose: bool = False  # random legal steps where one is illegal
  num_held_out: int = 250  # problems of the test split
  demonstrations: int = 1_000  # right solutions that IQ-Learn is shown
  unroll: int = 3  # steps in a row that a world model foresees in learning
  fit: training.FitConfig = training.FitConfig()

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(f"kind={self.kind!r} is none of {', '.join(KINDS)}")
    if self.labels not in _LABELS:
      raise ValueError(
        f"labels={self.labels!r} is none of soft, hard, omega, tree"
      )
    combined.check_aggregate(self.aggregate)
    if self.num_samples < 2:
      raise ValueError(f"num_samples={self.num_samples} is below 2")
    if self.fit.augment and self.kind in ("implicit", "expert", "world"):
      raise ValueError(
        f"fit.augment=True: {self.kind} models are held to the tokens that were"
        " written"
      )
    if self.unroll < 1:
      raise ValueError(f"unroll={self.unroll} is below 1")
    if self.kind == "world" and self.fit.trunk == "shared":
      raise ValueError(
        "fit.trunk='shared': the layers of a world model learn; give policy, "
        "to begin with those of the policy, or fresh"
      )


def make_config(settings: dict[str, Any]) -> RewardConfig:
  """Return the config of a dictionary.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """

  settings = dict(settings)
  fit = settings.pop("fit", {})
  if not isinstance(fit, dict):
    raise config_lib.UserError(f"config.fit={fit!r} is not a dict")
  fit = values.make(training.FitConfig, "fit", fit)
  return values.make(RewardConfig, "", settings, fit=fit)


def policy_of(workdir: pathlib.Path) -> tuple[config_lib.Run, Any]:
  """Return the run of a workdir and the parameters of its policy.

  Raises:
    UserError: if there is none.
    CheckpointError: if it has no checkpoint that is whole.
  """
  run = run_of(workdir)
  return run, runs.load(run, workdir)[0]


def run_of(workdir: pathlib.Path) -> config_lib.Run:
  """Return the run of a workdir.

  Raises:
    UserError: if there is none.
  """
  path = workdir / "config.json"
  try:
    settings = dict(json.loads(path.read_text(encoding="utf-8"))["config"])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise config_lib.UserError(
      f"--workdir={workdir} holds no run of a policy: train one first by "
      "alphallm.train"
    ) from error
  return config_lib.run_of(settings, workdir)


def reward_of(
  config: RewardConfig, run: config_lib.Run, params: Any, policy: Any
) -> rewards.Reward:
  """Return a trained model as a reward.

  Args:
    config: of the model.
    run: of the policy.
    params: of the model.
    policy: parameters of the policy on whose solutions it was trained.
  """
  apply_fn = run.model.apply
  if config.kind == "world":
    table = transformer.embeddings(policy)
    return rewards.world.reward(world_of(run), params, table)
  if config.kind == "implicit":
    return rewards.model.implicit(
      apply_fn, params, policy, beta=config.fit.beta
    )
  if config.kind == "expert":
    return rewards.model.expert(apply_fn, params, discount=config.fit.discount)
  return rewards.model.reward(apply_fn, params, config.aggregate)


def world_of(run: config_lib.Run) -> world_model.WorldModel:
  """Return the world model of a run's task, of the shape of its policy."""
  return world_model.WorldModel(
    run.model.config, run.task.max_observation_tokens
  )


def init_params(
  config: RewardConfig, run: config_lib.Run, rng_key: jax.Array
) -> Any:
  """Return random parameters of a model; `rng_key` is consumed."""
  if config.kind == "world":
    return world_model.init_params(world_of(run), rng_key)
  return transformer.init_params(run.model.config, rng_key)


def load(workdir: pathlib.Path, name: str) -> tuple[RewardConfig, Any]:
  """Return the config and the parameters of W/rewards/NAME.

  Raises:
    UserError: if there is none.
    CheckpointError: if it is damaged.
  """
  folder = workdir / "rewards" / name
  try:
    settings = json.loads((folder / "config.json").read_text())
  except (OSError, ValueError) as error:
    raise config_lib.UserError(
      f"{folder} holds no reward model: train one by alphallm.train_reward"
    ) from error
  config, run = make_config(settings), run_of(workdir)
  shapes = jax.eval_shape(
    functools.partial(init_params, config, run), jax.random.key(0)
  )
  with checkpoint.Checkpointer(
    folder / "checkpoints", read_only=True
  ) as checkpointer:
    restored = checkpointer.restore({"params": shapes})
  return config, restored.state["params"]


def learn(
  config: RewardConfig, run: config_lib.Run, policy: Any
) -> tuple[Any, dict[str, Any]]:
  """Sample, label and train.

  Returns:
    The parameters of the model, and figures of what they were trained on.
  """
  if config.fit.augment:
    consistency.check_symmetries(run.task, "config.fit.augment=True")
  sample_key, label_key, init_key, fit_key = jax.random.split(
    jax.random.key(config.seed), 4
  )
  rng = np.random.default_rng([config.seed, 1])
  problems = run.task.sample_numpy(rng, config.num_problems, "train")
  loss, rows, figures = reward_lessons.lesson(
    config, run, policy, world_of(run), problems, sample_key, label_key, rng
  )
  if config.fit.trunk == "fresh":
    params = init_params(config, run, init_key)
  elif config.kind == "world":
    params = world_model.init_params(world_of(run), init_key, policy)
  else:
    params = policy
  count = jax.tree.leaves(rows)[0].shape[0]
  print(f"training on {count:,} examples", flush=True)
  progress = metrics.Progress(config.fit.num_steps, "reward model")
  try:
    params = training.fit(
      loss,
      config.fit,
      params,
      rows,
      fit_key,
      lambda step, value: progress.update(step, f"loss {value:.4f}"),
      run.task.augment if config.fit.augment else None,
    )
  except FloatingPointError as error:
    raise config_lib.UserError(
      f"{error}: give a lower config.fit.learning_rate"
    ) from error
  finally:
    progress.close()
  return params, figures | {"examples": count}
