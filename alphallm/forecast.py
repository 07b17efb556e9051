"""What the programs of a run will need and how long they will take."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from alphallm import config as config_lib
from alphallm import measurement as measurement_lib
from alphallm import search as search_lib
from alphallm import trainer as trainer_lib
from alphallm.compiled import hlo, roofline, work
from alphallm.models import transformer
from alphallm.search import tree_search

# The programs of a run: a round of self-play, the steps of learning after it,
# and the two of a measurement on the way, by decoding and by search.
NAMES = ("self_play", "learn", "greedy", "mcts")


@dataclasses.dataclass(frozen=True)
class Program:
  """A program of a run.

  Attributes:
    function: jitted.
    arguments: of it, abstract.
    search: by which it searches.
    nodes: states that one run of it evaluates; 0: it learns.
    tokens: that one run decodes at most, or that a step of learning reads.
    held: bytes per device of the run's state that are among its arguments.
    gathered: bytes of the parameters where each device collects them all.
    pages: bytes per device of keys and values while it searches.
  """

  function: Any
  arguments: tuple[Any, ...]
  search: Any
  nodes: int
  tokens: int
  held: int
  gathered: int
  pages: int


def bytes_per_device(tree: Any) -> int:
  """Return the bytes that each device holds of arrays with shardings."""
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
  )


def state_bytes(trainer: trainer_lib.Trainer) -> dict[str, int]:
  """Return the bytes per device of a run's state, by kind."""
  state = trainer.abstract()
  reference = state.reference
  if trainer.run.refers_to_pretrained:
    reference = state.learner.params
  parts = {
    "parameters": state.learner.params,
    "optimizer": state.learner.opt_state,
    "average": state.learner.average,
    "reference": reference,
    "slots": state.slots,
    "replay": state.replay,
    "rounds ahead": (state.policy, state.rounds),
  }
  return {name: bytes_per_device(part) for name, part in parts.items()}


def programs(trainer: trainer_lib.Trainer) -> dict[str, Program]:
  """Return the programs of a run by their `NAMES`.

  Raises:
    UserError: for a run that plays by a strategy, whose loops are not known.
  """
  run = trainer.run
  if run.selfplay.is_strategy:
    raise config_lib.UserError(
      f"config.selfplay.player={run.selfplay.player!r}: what is foreseen is "
      "'search' or 'policy'"
    )
  state, held = trainer.abstract(), state_bytes(trainer)
  play, learn = (trainer.programs()[name] for name in ("self_play", "learn"))
  slots, moves = run.selfplay.num_slots, run.selfplay.num_moves
  devices = trainer.mesh.size
  made = {
    "self_play": _searching(
      run,
      play,
      state.learner.params,
      run.play_search,
      slots * moves,
      held["parameters"] + held["slots"],
      jax.tree.map(lambda x: _like(x, slots // devices, 2), play[1][2]),
    ),
    "learn": Program(
      *learn,
      search=run.play_search,
      nodes=0,
      tokens=run.learner.batch_size * tokens_of_example(state.replay.examples),
      held=sum(held.values()) - held["slots"],
      gathered=0,
      pages=0,
    ),
  }
  measurement = measurement_lib.Measurement(run, trainer.mesh)
  measured = measurement.programs(state.learner.average)
  for name, evaluation in measured.items():
    search = config_lib.GREEDY
    if name != "greedy":
      search = config_lib.for_evaluation(run, run.train.eval_simulations)
    problems = evaluation[1][2]
    size = jax.tree.leaves(problems)[0].shape[0]
    made[name.split("_")[0]] = _searching(
      run,
      evaluation,
      state.learner.average,
      search,
      size * run.task.max_steps,
      held["average"],
      jax.tree.map(lambda x, n=size // devices: _like(x, n, 1), problems),
    )
  return made


def _like(x, lead: int, axes: int):
  return jax.ShapeDtypeStruct((lead, *x.shape[axes:]), x.dtype)


def _searching(run, function, params, search, moves, held, problems) -> Program:
  """Return a program that searches so many moves at most."""
  nodes = moves * (search.num_simulations + 1)
  beams = search.num_candidates * (run.task.max_step_tokens - 1)
  found = search_lib.memory(run.model.apply, run.task, search, params, problems)
  size = sum(x.size for x in jax.tree.leaves(params))
  width = jnp.dtype(run.model.config.dtype).itemsize
  gathers = run.mesh.gather == "entry" and bytes_per_device(params) < sum(
    x.size * x.dtype.itemsize for x in jax.tree.leaves(params)
  )
  return Program(
    *function,
    search=search,
    nodes=nodes,
    tokens=nodes * beams,
    held=held,
    gathered=size * width * gathers,
    pages=found["prompt"] + found["pages"],
  )


def foresee(
  one: Program,
  run: config_lib.Run,
  chip: roofline.Chip,
) -> tuple[dict[str, Any], jax.stages.Compiled]:
  """Compile a program; return what it says of itself, and the program.

  Raises:
    MemoryError: in one line, if the compiler finds no room for it.
  """
  began = time.monotonic()
  try:
    made = one.function.lower(*one.arguments).compile()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    line = str(error).splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: ")
    raise MemoryError(line) from error
  seconds = time.monotonic() - began
  told = figures(made, chip, rounds(run, one.search))
  return {"compile_seconds": seconds} | told, made


def judged(
  told: dict[str, Any],
  one: Program,
  state: int,
  devices: int,
  chip: roofline.Chip,
) -> dict[str, Any]:
  """Return the figures of a program with what they mean for a chip.

  Args:
    told: see `foresee`.
    one: the program.
    state: bytes per device of the whole state of the run.
    devices: on which it runs.
    chip: which they are.
  """
  memory = told["memory"] | {"beside": state - one.held}
  needed = sum(memory.values())
  counts = {"nodes": one.nodes, "tokens": one.tokens}
  return told | {
    "memory": memory,
    "pages": one.pages,
    "needed": needed,
    "fits": needed <= chip.memory,
    "expected": rates(counts, told["roofline_seconds"], devices),
  }


def rates(
  counts: Mapping[str, int], seconds: float, devices: int
) -> dict[str, float]:
  """Return what each of the devices does in a second; of nothing, nothing."""
  return {
    f"{what}_per_second_per_chip": count / seconds / devices
    for what, count in counts.items()
    if count
  }


def at_depth(run: config_lib.Run, depth: int) -> config_lib.Run:
  """Return the run with so many layers."""
  shape = run.model.config
  if shape.local_layers:
    raise config_lib.UserError(
      "--layers is for networks whose layers are alike"
    )
  shape = dataclasses.replace(shape, num_layers=depth)
  return dataclasses.replace(
    run, model=transformer.PolicyValueTransformer(shape)
  )


def rounds(
  run: config_lib.Run, search: tree_search.SearchConfig
) -> dict[str, int]:
  """Return how often loops go round whose end is known to no compiler.

  Each is taken at its longest, and learning takes one step. Steps of text are
  at their longest too, whose bound is in the program: what is played ends
  sooner.

  Args:
    run: what the program is of.
    search: by which it searches.

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
    "learner.train_round": 1,
  }


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
  spent = roofline.seconds(works, chip)
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
    "roofline_seconds": sum(spent.values()),
    "held_up_by": spent,
    "loops": [[loop.function, loop.times, loop.source] for loop in loops],
  }


def extend(first: Any, second: Any, depths: tuple[int, int], depth: int) -> Any:
  """Extend figures of shallow networks to a deep one, in a line.

  Layers are alike, so that products, bytes and collectives are such lines;
  temporaries nearly are.

  Args:
    first: a tree of numbers, at the first depth.
    second: the same at the second; what is no number is taken from here.
    depths: the two.
    depth: the one wanted.
  """
  if isinstance(second, dict):
    none = lambda tree: jax.tree.map(lambda x: 0 * x, tree)
    return {
      key: extend(first.get(key, none(value)), value, depths, depth)
      for key, value in second.items()
    }
  if not isinstance(second, int | float):
    return second
  slope = (second - first) / (depths[1] - depths[0])
  return type(second)(first + slope * (depth - depths[0]))


def tokens_of_example(examples: Any) -> int:
  """Return the tokens of an example, padding included.

  Args:
    examples: of the replay buffer, `[capacity, ...]`.
  """
  held = jax.tree_util.tree_leaves_with_path(examples)
  is_text = lambda path: path[-1].name in ("context", "candidates")
  return sum(math.prod(x.shape[1:]) for path, x in held if is_text(path))
