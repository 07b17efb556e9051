"""Workdirs of runs and of reward models that nobody has trained."""

import json

import jax

from alphallm import checkpoint, reward_models
from alphallm import config as config_lib
from alphallm.models import transformer


def random_params(run, seed=0):
  """Return random weights of a run's network."""
  return transformer.init_params(run.model.config, jax.random.key(seed))


def policy(workdir, config):
  """Save a policy of random weights as a run's."""
  run = config_lib.make_run(config)
  params = random_params(run)
  run.task.tokenizer.save(workdir / "tokenizer.model")
  record = {"config": config.to_dict()}
  (workdir / "config.json").write_text(json.dumps(record))
  with checkpoint.Checkpointer(workdir / "checkpoints") as checkpointer:
    checkpointer.save(1, {"learner": {"average": params}})


def reward_model(workdir, kind):
  """Save a reward model of random weights, whose name is its kind."""
  settings = json.loads((workdir / "config.json").read_text())["config"]
  run = config_lib.run_of(settings, workdir)
  params = reward_models.init_params(
    reward_models.make_config({"kind": kind}), run, jax.random.key(1)
  )
  folder = workdir / "rewards" / kind
  folder.mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps({"kind": kind}))
  with checkpoint.Checkpointer(folder / "checkpoints") as checkpointer:
    checkpointer.save(1, {"params": params})
