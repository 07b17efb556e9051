"""What programs do with runs: load a policy, read problems, draw trees."""

import pathlib
from typing import Any

import jax
from absl import flags

from alphallm import checkpoint, measure
from alphallm import config as config_lib
from alphallm import sharding as sharding_lib
from alphallm.initialization import pretrained_policy
from alphallm.models import transformer

_TREE = flags.DEFINE_string(
  "tree", None, "Where the trees of searches go, as one HTML file."
)


def load(
  run: config_lib.Run,
  workdir: pathlib.Path,
  which: str = "latest",
  *,
  sharding: Any = None,
) -> tuple[Any, int]:
  """Return the averaged parameters of a checkpoint, and its iteration.

  Args:
    run: of which they are.
    workdir: of the run.
    which: checkpoint: latest, best, or an iteration.
    sharding: where they go, one or a tree of them; None: the first device.

  Raises:
    CheckpointError: if there is none, or it is damaged.
  """
  shapes = jax.eval_shape(
    lambda key: transformer.init_params(run.model.config, key),
    jax.random.key(0),
  )
  if sharding is not None:
    places = jax.tree.broadcast(sharding, shapes)
    shapes = sharding_lib.abstract(shapes, places)
  wanted = {"learner": {"average": shapes}}
  with checkpoint.Checkpointer(
    workdir / "checkpoints", best="greedy", read_only=True
  ) as checkpointer:
    if which == "latest":
      restored = checkpointer.restore_newest_whole(wanted, partial=True)
    elif which == "best":
      restored = checkpointer.restore(wanted, "best", partial=True)
    elif which.isdecimal():
      restored = checkpointer.restore(wanted, int(which), partial=True)
    else:
      raise config_lib.UserError(
        f"--checkpoint={which}: give latest, best, or an iteration"
      )
  return restored.state["learner"]["average"], restored.step


def load_first(run: config_lib.Run) -> Any:
  """Return the parameters with which the training of a run begins.

  Raises:
    UserError: if they are those of a pretrained model, and it is damaged.
  """
  config = run.model.config
  if run.pretrained is None:
    return transformer.init_params(config, jax.random.key(run.seed))
  return pretrained_policy.load(run.pretrained, config)


def read_problems(run: config_lib.Run, path: str | None, count: int) -> Any:
  """Read problems from a path, or draw `count` of the test split.

  Raises:
    UserError: if they cannot be read.
  """
  if path is None:
    return measure.held_out(run.task, count)
  try:
    return run.task.read_problems(path)
  except (ValueError, OSError) as error:
    raise config_lib.UserError(f"--problems: {error}") from error


def tree_path() -> str | None:
  """Return where the trees go; None if they are not asked for.

  Raises:
    UserError: if no file can be written there.
  """
  if not _TREE.value:
    return None
  folder = pathlib.Path(_TREE.value).absolute().parent
  if not folder.is_dir():
    raise config_lib.UserError(f"--tree: {folder} is no folder")
  return _TREE.value
