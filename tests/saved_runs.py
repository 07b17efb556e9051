"""Workdirs of runs and of reward models that nobody has trained."""

import json

import jax

from alphallm import checkpoint
from alphallm import config as config_lib
from alphallm.models import transformer


def policy(workdir, config):
  """Save a policy of random weights as a run's; return its parameters."""
  run = config_lib.make_run(config)
  params = transformer.init_params(run.model.config, jax.random.key(0))
  run.task.tokenizer.save(workdir / "tokenizer.model")
  record = {"config": config.to_dict()}
  (workdir / "config.json").write_text(json.dumps(record))
  with checkpoint.Checkpointer(workdir / "checkpoints") as checkpointer:
    checkpointer.save(1, {"learner": {"average": params}})
  return params


def reward_model(workdir, kind):
  """Save a reward model of random weights, whose name is its kind."""
  settings = json.loads((workdir / "config.json").read_text())["config"]
  run = config_lib.run_of(settings, workdir)
  params = transformer.init_params(run.model.config, jax.random.key(1))
  folder = workdir / "rewards" / kind
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps({"kind": kind}))
  with checkpoint.Checkpointer(folder / "checkpoints") as checkpointer:
    checkpointer.save(1, {"params": params})
  return params
