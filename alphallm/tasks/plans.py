"""Plans of solved blocks-world problems, written in PDDL."""

import pathlib
from typing import Any

import numpy as np

from alphallm.tasks import blocks_world, pddl


def write(
  task: Any, problems: Any, episode: Any, source: str | None, directory
) -> int:
  """Write a plan for every solved problem, in the problem's own names.

  Args:
    task: a `BlocksWorld`.
    problems: `[n, ...]`.
    episode: of each, `[n, ...]`: `solved`, `num_steps`, `steps` and
      `step_lengths`, as those of `types.Episode`.
    source: where the problems were read from (`pddl.read`), or None if they
      were drawn: their blocks are then called a, b, c and so on.
    directory: where the plans go, `FOLDER-NAME.plan` for the problem
      `FOLDER/NAME.pddl`.

  Returns:
    The number of plans.

  Raises:
    ValueError: if the task has no plans.
  """
  if not isinstance(task, blocks_world.BlocksWorld):
    raise ValueError(f"{task.name} has no plans in PDDL")
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  on = np.asarray(problems.on)
  names = [list(blocks_world.LETTERS)] * len(on)
  stems = [f"problem-{i}" for i in range(len(on))]
  if source is not None:
    described = pddl.read(source)
    names = [problem.names for _, problem in described]
    source = pathlib.Path(source)
    top = source.parent if source.is_dir() else source.parent.parent
    places = [pathlib.Path(place).relative_to(top) for place, _ in described]
    stems = [
      "-".join(
        (*place.parent.parts, place.stem, place.suffix.partition(":")[2])
      ).strip("-")
      for place in places
    ]
  written = 0
  for i, solved in enumerate(np.asarray(episode.solved)):
    if not solved:
      continue
    steps = np.asarray(episode.steps[i])
    lengths = np.asarray(episode.step_lengths[i])
    texts = [
      task.tokenizer.decode(steps[j, : lengths[j]])
      for j in range(int(episode.num_steps[i]))
    ]
    moves = blocks_world.to_moves(on[i], texts)
    plan = pddl.write_plan(names[i], moves)
    (directory / f"{stems[i]}.plan").write_text(plan)
    written += 1
  return written
