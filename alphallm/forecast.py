"""What a program will need and how long it will take, before it is run."""

import math
from collections.abc import Mapping
from typing import Any

import jax

from alphallm import config as config_lib
from alphallm.compiled import hlo, roofline, work
from alphallm.search import tree_search


def bytes_per_device(tree: Any) -> int:
  """Return the bytes that each device holds of arrays with shardings."""
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )


def rounds(
  run: config_lib.Run, search: tree_search.SearchConfig, num_steps: int = 1
) -> dict[str, int]:
  """Return how often loops go round whose end is known to no compiler.

  Each is taken at its longest. Steps of text are too, whose bound is in the
  program: what is played ends sooner.

  Args:
    run: what the program is of.
    search: by which it searches.
    num_steps: of learning.

  Returns:
    Rounds by the name of a function, as `loops.loop` takes it.
  """
  return {
    "loop.search.<locals>.run": -(-search.num_simulations // search.width),
    "simulation.select": search.depth,
    "simulation.backup": search.depth,
    "play.play_line": search.line_length,
    "play.solve": run.task.max_steps,
    "rollout.value": search.rollout_steps,
    "learner.train_round": num_steps,
  }


def compiled(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
  """Compile a program.

  Raises:
    MemoryError: in one line, if the compiler finds no room for it.
  """
  try:
    return lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    line = str(error).splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ")
    raise MemoryError(line) from error


def figures(
  made: jax.stages.Compiled, chip: roofline.Chip, assumed: Mapping[str, int]
) -> dict[str, Any]:
  """Return what a compiled program says of itself, per device.

  Args:
    made: the program.
    chip: where it will run.
    assumed: see `rounds`.

  Returns:
    `memory`, bytes by kind; `flops` and `bytes`; `collectives` by kind;
    `roofline_seconds`, and what holds them up; `loops`, and how often each
    goes round.
  """
  works, loops = work.of(hlo.parse(made.as_text()), assumed)
  held_up = {"products": 0.0, "memory": 0.0, "links": 0.0}
  for one in works:
    parts = roofline.parts(one, chip)
    longest = max(parts, key=parts.get)
    held_up[longest] += one.times * parts[longest]
  stats = made.memory_analysis()
  memory = {
    "arguments": stats.argument_size_in_bytes,
    "outputs": stats.output_size_in_bytes - stats.alias_size_in_bytes,
    "temporaries": stats.temp_size_in_bytes,
    "code": stats.generated_code_size_in_bytes,
  }
  return {
    "memory": memory,
    "flops": work.total(works, "flops"),
    "bytes": work.total(works, "bytes"),
    "collectives": work.collectives(works),
    "roofline_seconds": sum(held_up.values()),
    "held_up_by": held_up,
    "loops": [[loop.function, loop.times, loop.source] for loop in loops],
  }


def extend(first: Any, second: Any, depths: tuple[int, int], depth: int) -> Any:
  """Extend figures of shallow networks to a deep one, in a line.

  Layers are alike, so that products, bytes and collectives are such lines;
  temporaries nearly are.

  Args:
    first: a tree of numbers, at the first depth; what is no number is taken
      from the second.
    second: the same at the second.
    depths: the two.
    depth: the one wanted.
  """
  share = (depth - depths[0]) / (depths[1] - depths[0])

  def one(a, b):
    if not isinstance(b, int | float):
      return b
    value = a + (b - a) * share
    return round(value) if isinstance(b, int) else value

  if isinstance(second, dict):
    return {
      key: extend(first[key], second[key], depths, depth) for key in second
    }
  return one(first, second)


def tokens_of_example(examples: Any) -> int:
  """Return the tokens of an example, padding included.

  Args:
    examples: of the replay buffer, `[capacity, ...]`.
  """
  held = jax.tree_util.tree_leaves_with_path(examples)
  is_text = lambda path: path[-1].name in ("context", "candidates")
  return sum(math.prod(x.shape[1:]) for path, x in held if is_text(path))
