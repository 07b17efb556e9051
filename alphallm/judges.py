"""Reward models of other runs, for a run that is paid or guided by them."""

import dataclasses
import functools
import pathlib
import re
from typing import Any

import jax

from alphallm import config as config_lib
from alphallm import (
  methods,
  reward_models,
  rewards,
  search,
  selfplay,
  tasks,
  types,
)
from alphallm.learning import payment
from alphallm.models import network, transformer
from alphallm.search import embedded, search_config


@dataclasses.dataclass(frozen=True)
class Found:
  """A reward model on disk: static, but for its parameters.

  Attributes:
    config: of the model.
    run: of the policy on whose solutions it was trained.
  """

  config: reward_models.RewardConfig
  run: config_lib.Run

  @property
  def is_share(self) -> bool:
    """Whether its scores lie in [0, 1]."""
    return self.config.kind not in ("implicit", "expert")

  @property
  def scores_states(self) -> bool:
    """Whether it scores states, and not steps alone."""
    return self.is_share and self.config.kind != "world"

  def world(self, params: Any, policy: Any) -> embedded.Embedded:
    """Return a world model in place of its task; parameters may be traced.

    Args:
      params: as of `judge`.
      policy: that is to read its embeddings.

    Raises:
      ValueError: if it is none, or the task's context is not reset.
    """
    if self.config.kind != "world":
      raise ValueError(f"{self.config.kind} models foresee no states")
    return embedded.Embedded(
      task=self.run.task,
      foresee=functools.partial(
        reward_models.world_of(self.run).apply, params[0]
      ),
      table=transformer.embeddings(policy),
    )

  def judge(self, params: Any) -> payment.Judge:
    """Return the model as a judge, whose parameters may be traced.

    Args:
      params: of the model, and of the policy that an implicit one began with
        or in whose embeddings a world model foresees.
    """
    own, policy = params

    def potential(contexts, ends):
      return jax.nn.sigmoid(
        rewards.model.state_logits(self.run.model.apply, own, contexts, ends)
      )

    return payment.Judge(
      reward=reward_models.reward_of(self.config, self.run, own, policy),
      potential=potential,
    )

  def state_score(self, params: Any) -> search_config.ProcessReward:
    """Return it as the process reward of a search; `params` may be traced.

    Raises:
      ValueError: if a state does not tell what it reads.
    """
    return rewards.model.of_state(
      self.run.model.apply, params[0], self.run.task
    )

  def guidance(self, name: str, params: Any) -> search.guidance.Guidance:
    """Return it as the guidance of a strategy; `params` may be traced.

    Those that learned from steps tell something of paths under way.
    """
    score = self.state_score(params)
    return search.guidance.outcome(
      lambda path: score(path.state),
      name=name,
      of_partial=self.config.kind in ("process", "pairwise"),
    )


def find(model: payment.Model, task: tasks.Task) -> tuple[Found, Any]:
  """Return a model, and its parameters as `Found.judge` takes them.

  Args:
    model: where it lies.
    task: whose text it is to read.

  Raises:
    UserError: if there is none, or it reads other text.
    CheckpointError: if it is damaged.
  """
  workdir = pathlib.Path(model.workdir)
  config, params = reward_models.load(workdir, model.name)
  found = Found(config=config, run=reward_models.run_of(workdir))
  if not _reads(found.run.task, task):
    raise config_lib.UserError(
      f"{workdir}/rewards/{model.name} reads {found.run.task.name} with its "
      f"context {found.run.task.context!r}, and not the text of {task.name} "
      f"with {task.context!r}: train a reward model of such a run"
    )
  policy = None
  if config.kind in ("implicit", "world"):
    _, policy = reward_models.policy_of(workdir)
  return found, (params, policy)


def guide(model: payment.Model, task: tasks.Task) -> tuple[Found, Any]:
  """Return a model, and its parameters, that is to score states of a search.

  Raises:
    UserError: as `find`; or if it scores no states.
  """
  found, params = find(model, task)
  where = f"{model.workdir}/rewards/{model.name}"
  if not found.scores_states:
    raise config_lib.UserError(
      f"{where} guides no search: {found.config.kind} models score steps, not "
      "states"
    )
  try:
    found.state_score(params)
  except ValueError as error:
    raise config_lib.UserError(f"{where}: {error}") from error
  return found, params


def guided(run: config_lib.Run) -> config_lib.Run:
  """Return a run whose search holds its process reward, parameters and all.

  Raises:
    UserError: as `guide`.
  """
  if run.guide is None:
    return run
  found, params = guide(run.guide, run.task)
  score = found.state_score(params)
  return dataclasses.replace(
    run, search=dataclasses.replace(run.search, process_reward=score)
  )


def named_in(
  text: str, workdir: pathlib.Path, task: tasks.Task
) -> tuple[dict[str, search.guidance.Guidance], list[Any]]:
  """Return the models of W/rewards that a guidance names, and parameters.

  Args:
    text: of `methods.guidance`.
    workdir: W.
    task: whose states they score.

  Raises:
    UserError: as `guide`.
  """
  guidances, every = {}, []
  for name in re.findall(r"[A-Za-z_]\w*", text):
    if name in methods.GUIDANCES or not (workdir / "rewards" / name).is_dir():
      continue
    found, params = guide(payment.Model(str(workdir), name), task)
    guidances[name] = found.guidance(name, params)
    every.append(params)
  return guidances, every


def world(
  workdir: pathlib.Path, name: str, task: tasks.Task
) -> tuple[methods.World, list[Any]]:
  """Return the world model W/rewards/NAME, and its parameters.

  Raises:
    UserError: if it is none, or of another task.
  """
  found, params = find(payment.Model(str(workdir), name), task)

  def make(policy):
    return found.world(params, policy)

  try:
    make(params[1])
  except ValueError as error:
    raise config_lib.UserError(f"{workdir}/rewards/{name}: {error}") from error
  return make, [params]


class Payer:
  """Pays the episodes of a run as `config.reward` says.

  Attributes:
    params: of the models that are asked, an argument of the program.
  """

  def __init__(self, run: config_lib.Run):
    """Find the models.

    Raises:
      UserError: if one is missing, or cannot do what it is wanted for.
    """
    self._run, self._found, params = run, {}, []
    for model in run.reward.models:
      self._found[model], own = find(model, run.task)
      self._check(model)
      params.append(own)
    self.params = tuple(params)

  def __call__(
    self,
    apply_fn: network.Network,
    params: Any,
    harvest: selfplay.Harvest,
    policy: Any,
  ) -> types.Episode:
    """Return the episodes of a round with the rewards that are learned from.

    Args:
      apply_fn: the network of the policy.
      params: as the attribute, traced.
      harvest: what the round has brought.
      policy: parameters of the policy that played.
    """
    run = self._run
    if run.reward == payment.PaymentConfig():
      return harvest.episodes
    asked = zip(self._found.items(), params, strict=True)
    pay = functools.partial(
      payment.pay,
      run.reward,
      {model: found.judge(own) for (model, found), own in asked},
      apply_fn,
      policy,
      discount=run.search.discount,
    )
    return payment.of_done(
      pay, harvest.episodes, harvest.done, run.learner.batch_size
    )

  def _check(self, model):
    found, kind = self._found[model], self._found[model].config.kind
    if not found.scores_states and model == self._run.reward.shaping:
      raise config_lib.UserError(
        f"config.reward.shaping: {kind} models have no potential"
      )
    if not found.is_share and self._run.objective.takes == "values":
      raise config_lib.UserError(
        f"config.reward: the scores of {kind} models do not lie in [0, 1], "
        f"where the values lie that {type(self._run.objective).__name__} learns"
      )


def _reads(one: tasks.Task, other: tasks.Task) -> bool:
  """Return whether two tasks write states alike."""
  mine, theirs = one.tokenizer, other.tokenizer
  if (one.name, one.context) != (other.name, other.context):
    return False
  return mine.vocab_size == theirs.vocab_size and all(
    mine.token_bytes(i) == theirs.token_bytes(i) for i in range(mine.vocab_size)
  )
