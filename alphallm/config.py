"""From a config file to the parts of a run."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Any

from alphallm import selfplay, tasks, tokenizer
from alphallm.learning import learner
from alphallm.models import transformer
from alphallm.search import mcts, policies


class UserError(Exception):
  """Bad input; its one line says what is wrong and how to mend it."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """How long a run is, and what it does on the way."""

  num_iterations: int = 100  # of self-play and learning
  evaluate_every: int = 10  # iterations
  checkpoint_every: int = 10  # iterations
  num_eval_problems: int = 256
  eval_simulations: int = 16


@dataclasses.dataclass(frozen=True)
class Run:
  """The parts of a run, made from its config."""

  seed: int
  task: tasks.Task
  model: transformer.PolicyValueTransformer
  search: mcts.SearchConfig
  selfplay: selfplay.SelfPlayConfig
  learner: learner.LearnerConfig
  train: TrainConfig


def make_run(config: Any, workdir=None) -> Run:
  """Make the parts of a run.

  Args:
    config: a ConfigDict, see `configs/quickstart.py`.
    workdir: if it holds a tokenizer, that one is used.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  settings = config.to_dict()
  task_settings = settings["task"]
  path = pathlib.Path(workdir or "") / "tokenizer.model"
  try:
    if workdir is not None and path.exists():
      task_settings["tokenizer"] = tokenizer.Tokenizer.load(path)
    kind = task_settings.pop("kind")
    if kind not in tasks.__all__:
      raise ValueError(f"task.kind={kind!r} is none of {tasks.__all__}")
    task = getattr(tasks, kind)(**task_settings)
    model = transformer.TransformerConfig(
      vocab_size=task.vocab_size, **settings["model"]
    )
    return Run(
      seed=settings["seed"],
      task=task,
      model=transformer.PolicyValueTransformer(model),
      search=mcts.SearchConfig(
        **settings["search"] | {"policy": make_policy(settings["search"])}
      ),
      selfplay=selfplay.SelfPlayConfig(**settings["selfplay"]),
      learner=learner.LearnerConfig(**settings["learner"]),
      train=TrainConfig(**settings["train"]),
    )
  except (TypeError, ValueError, KeyError) as error:
    raise UserError(f"the config does not fit: {error}") from error


def make_policy(search_settings: dict[str, Any]) -> policies.Policy:
  """Return the search policy from its settings, `{"kind": ..., ...}`."""
  settings = dict(search_settings.get("policy", {"kind": "gumbel"}))
  kinds = {"gumbel": policies.gumbel, "puct": policies.puct}
  kind = settings.pop("kind")
  if kind not in kinds:
    raise ValueError(f"search.policy.kind={kind!r} is none of {list(kinds)}")
  return functools.partial(kinds[kind], **settings)


def for_evaluation(run: Run, num_simulations: int) -> mcts.SearchConfig:
  """Return the run's search without its exploration."""
  policy = run.search.policy
  if policy.func is policies.puct:
    quiet = functools.partial(policy, dirichlet_fraction=0.0, temperature=0.0)
  else:
    quiet = functools.partial(policy, gumbel_scale=0.0)
  return dataclasses.replace(
    run.search,
    num_simulations=num_simulations,
    policy=quiet,
    rules_propose=False,
  )


GREEDY = mcts.SearchConfig(
  num_simulations=0, num_candidates=1, permission="nothing", noise=False
)
SAMPLED = dataclasses.replace(GREEDY, noise=True)


def fingerprint(config: Any) -> str:
  """Return a hash of what may not change when a run is resumed.

  The length of the run and how often it is measured may change.
  """
  settings = config.to_dict()
  settings.pop("train")
  text = json.dumps(settings, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
