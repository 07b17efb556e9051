"""What a run will need and how fast it can be, before any chip is paid for.

python -m alphallm.preflight --config configs/NAME.py --topology v5e:4x4
    [--shape qwen2.5-7b] [--layers 1,2] [--programs self_play,learn]

Self-play, learning and evaluation are compiled for a TPU topology, of which no
chip is needed, or without --topology for the devices at hand, where they are
then run. Nothing of the size of the parameters is allocated for a topology.
"""

import dataclasses
import os
import pathlib
import time
from typing import Any

import jax
from absl import flags
from jax.experimental import topologies

from alphallm import config as config_lib
from alphallm import forecast, metrics, program, shapes, sharding, timing
from alphallm import search as search_lib
from alphallm import trainer as trainer_lib
from alphallm.compiled import roofline
from alphallm.models import transformer

_TOPOLOGY = flags.DEFINE_string(
  "topology",
  None,
  "TPUs to compile for, v5e:4x4 or v5e-16; the devices at hand if not given.",
)
_SHAPE = flags.DEFINE_string(
  "shape",
  None,
  "A config.json, or one of "
  + ", ".join(shapes.SHAPES)
  + ": the network's shape, in place of the model that the config names.",
)
_LAYERS = flags.DEFINE_list(
  "layers",
  None,
  "Two depths, such as 1,2: networks so deep are compiled in place of the whole"
  " one, and the figures are extended to it. For compilers in a hurry.",
)
_PROGRAMS = flags.DEFINE_list(
  "programs", None, "Some of self_play, learn, greedy and mcts; all if None."
)

# Slices by the number of their chips, where the chips lie in a plane.
_PLANES = {
  "4": "2x2",
  "8": "2x4",
  "16": "4x4",
  "32": "4x8",
  "64": "8x8",
  "128": "8x16",
  "256": "16x16",
}
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Program:
  """A program of a run.

  Attributes:
    function: jitted.
    arguments: of it, abstract or not.
    search: by which it searches.
    nodes: states that one run of it evaluates; 0: it learns.
    tokens: that one run decodes at most, or that a step of learning reads.
    held: bytes per device of the run's state that are among its arguments.
    pages: bytes per device of keys and values while it searches.
  """

  function: Any
  arguments: tuple[Any, ...]
  search: Any
  nodes: int
  tokens: int
  held: int
  pages: int


def devices_of(topology: str) -> list[Any]:
  """Return the devices of a TPU topology, none of which is there.

  Raises:
    UserError: if no such TPU is known.
  """
  name, _, size = topology.partition("-")
  if name in ("v5e", "v6e") and size in _PLANES:
    topology = f"{name}:{_PLANES[size]}"
  # It would ask the network on what machine it is, and be alone.
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  try:
    found = topologies.get_topology_desc(
      platform="tpu", topology_name=topology
    ).devices
  except Exception as error:  # of several kinds, one of them private
    if "libtpu" in str(error).lower() and "not found" in str(error).lower():
      raise config_lib.UserError(
        "--topology needs libtpu: pip install 'alphallm[tpu]'"
      ) from error
    raise config_lib.UserError(
      f"--topology={topology}: {str(error).splitlines()[0]}; there are v5e-4 to"
      " v5e-256 (v5e:2x2 to v5e:16x16), the same of v6e, and v5p:2x2x1 and more"
    ) from error
  if found[0].device_kind not in roofline.CHIPS:
    raise config_lib.UserError(
      f"--topology={topology}: a {found[0].device_kind} is not known"
    )
  return list(found)


def make_run(config: Any, shape: str | None) -> config_lib.Run:
  """Make the parts of a run, by the shape of a model if one is given."""
  if shape is not None:
    return shapes.run_of(config.to_dict(), shape)
  return config_lib.make_run(config)


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
  }
  return {name: forecast.bytes_per_device(part) for name, part in parts.items()}


def programs(trainer: trainer_lib.Trainer, devices: int) -> dict[str, Program]:
  """Return the programs of a run by name.

  Args:
    trainer: of the run.
    devices: how many share the slots of self-play.
  """
  run, state, held = trainer.run, trainer.abstract(), state_bytes(trainer)
  play, learn = (trainer.programs()[name] for name in ("self_play", "learn"))
  slots, moves = run.selfplay.num_slots, run.selfplay.num_moves
  made = {
    "self_play": _searching(
      run,
      play,
      run.play_search,
      slots * moves,
      held["parameters"] + held["slots"],
      jax.tree.map(lambda x: _like(x, slots // devices, 2), play[1][2]),
    ),
    "learn": Program(
      *learn,
      search=run.play_search,
      nodes=0,
      tokens=run.learner.batch_size
      * forecast.tokens_of_example(state.replay.examples),
      held=sum(held.values()) - held["slots"],
      pages=0,
    ),
  }
  measured = trainer_lib.Measurement(run).programs(state.learner.average)
  for name, evaluation in measured.items():
    search = config_lib.GREEDY
    if name != "greedy":
      search = config_lib.for_evaluation(run, run.train.eval_simulations)
    problems = evaluation[1][2]
    size = jax.tree.leaves(problems)[0].shape[0]
    made[name.split("_")[0]] = _searching(
      run,
      evaluation,
      search,
      size * run.task.max_steps,
      held["average"],
      jax.tree.map(lambda x, n=size: _like(x, n, 1), problems),
    )
  return made


def _like(x, lead: int, axes: int):
  return jax.ShapeDtypeStruct((lead, *x.shape[axes:]), x.dtype)


def _searching(run, function, search, moves, held, problems) -> Program:
  """Return a program that searches so many moves at most."""
  nodes = moves * (search.num_simulations + 1)
  beams = search.num_candidates * (run.task.max_step_tokens - 1)
  found = search_lib.memory(
    run.model.apply,
    run.task,
    search,
    jax.eval_shape(
      lambda key: transformer.init_params(run.model.config, key),
      jax.random.key(0),
    ),
    problems,
  )
  return Program(
    *function,
    search=search,
    nodes=nodes,
    tokens=nodes * beams,
    held=held,
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
  lowered = one.function.lower(*one.arguments)
  made = forecast.compiled(lowered)
  seconds = time.monotonic() - began
  told = forecast.figures(made, chip, forecast.rounds(run, one.search))
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
  memory_of = dict(told["memory"], beside=state - one.held)
  needed, seconds = sum(memory_of.values()), told["roofline_seconds"]
  expected = {"tokens_per_second_per_chip": one.tokens / seconds / devices}
  if one.nodes:
    expected["nodes_per_second_per_chip"] = one.nodes / seconds / devices
  return told | {
    "memory": memory_of,
    "pages": one.pages,
    "needed": needed,
    "fits": needed <= chip.memory,
    "expected": expected,
  }


def preflight(config: Any) -> dict[str, Any]:
  """Foresee the programs of a run, and run them where the devices are here.

  Returns:
    What is printed, by plain keys; `programs` holds a dictionary of each.

  Raises:
    UserError: for a config, a topology, a shape or layers that do not fit.
  """
  # What a program takes to compile is not what it takes to read it.
  jax.config.update("jax_enable_compilation_cache", False)
  here = _TOPOLOGY.value is None
  if not here:
    jax.config.update("jax_platforms", "cpu")
  devices = jax.devices() if here else devices_of(_TOPOLOGY.value)
  chip = (
    roofline.of_device(devices[0])
    if here
    else roofline.CHIPS[devices[0].device_kind]
  )
  run, mesh = (
    make_run(config, _SHAPE.value),
    sharding.make_mesh(devices=devices),
  )
  whole = run.model.config.num_layers
  depths = _depths(whole)
  trainer = trainer_lib.Trainer(run, mesh)
  state, made = state_bytes(trainer), programs(trainer, len(devices))
  names = _PROGRAMS.value or list(made)
  unknown = set(names) - set(made)
  if unknown:
    raise config_lib.UserError(
      f"--programs={min(unknown)} is none of {', '.join(made)}"
    )
  size = sum(x.size for x in jax.tree.leaves(trainer.abstract().learner.params))
  print(
    f"{size:,} parameters in {whole} layers, on {len(devices)} x {chip.name}, "
    f"{_gib(chip.memory)} each\n"
    f"state of the run: {_gib(sum(state.values()))} a device ("
    + ", ".join(f"{name} {_gib(n)}" for name, n in state.items() if n)
    + ")",
    flush=True,
  )
  shallow = [
    programs(trainer_lib.Trainer(at_depth(run, depth), mesh), len(devices))
    for depth in depths
  ]
  results = {}
  for name in names:
    one, told, ready = made[name], None, None
    print(f"{name}: compiling", flush=True)
    try:
      if depths:
        first, second = (foresee(few[name], run, chip)[0] for few in shallow)
        told = forecast.extend(first, second, depths, whole)
        told["compile_seconds"] = sum(
          some["compile_seconds"] for some in (first, second)
        )
      else:
        told, ready = foresee(one, run, chip)
    except MemoryError as error:
      results[name] = {"fits": False, "reason": str(error)}
    else:
      results[name] = judged(told, one, sum(state.values()), len(devices), chip)
      if here and ready and results[name]["fits"]:
        results[name]["measured"] = _measured(
          *timing.run(name, trainer, one.arguments, ready), one, len(devices)
        )
    print("\n".join(_lines(name, results[name], chip)), flush=True)
  return {
    "devices": len(devices),
    "chip": chip,
    "parameters": size,
    "state": state,
    "layers_compiled": list(depths) or [whole],
    "programs": results,
  }


def _depths(whole: int) -> tuple[int, ...]:
  """Return the depths of --layers, () if it is not given."""
  if _LAYERS.value is None:
    return ()
  given = [int(word) if word.isdigit() else 0 for word in _LAYERS.value]
  if len(given) != 2 or not 0 < given[0] < given[1] <= whole:
    raise config_lib.UserError(
      f"--layers={','.join(_LAYERS.value)}: give two depths, the smaller first,"
      f" of 1 to {whole}"
    )
  return tuple(given)


def _measured(seconds, counts, one, devices) -> dict[str, float]:
  counts = {"tokens": one.tokens} | counts
  rates = {
    f"{what}_per_second_per_chip": count / seconds / devices
    for what, count in counts.items()
  }
  return {"seconds": seconds} | rates


def _gib(number: float) -> str:
  return f"{number / _GIB:.2f} GiB"


def _lines(name: str, result: dict[str, Any], chip: roofline.Chip) -> list[str]:
  """Return what is printed of a program."""
  if "reason" in result:
    return [f"  does not fit: {result['reason']}"]
  parts = ", ".join(f"{kind} {_gib(n)}" for kind, n in result["memory"].items())
  seconds = result["roofline_seconds"]
  shares = ", ".join(
    f"{kind} {100 * part / seconds:.0f}%"
    for kind, part in result["held_up_by"].items()
  )
  collectives = ", ".join(
    f"{kind} {some['count']} x, {_gib(some['bytes'])} in all"
    for kind, some in result["collectives"].items()
  )
  signs = {"exact": "", "bound": " at most", "assumed": " assumed"}
  loops = ", ".join(
    f"{function} {times}{signs.get(source, ' for want of knowledge')}"
    for function, times, source in result["loops"]
  )
  fits = "fits" if result["fits"] else "does not fit"
  lines = [
    f"  compiled in {result['compile_seconds']:.1f} s",
    f"  {fits}: {_gib(result['needed'])} of {_gib(chip.memory)} ({parts}; keys "
    f"and values of the search {_gib(result['pages'])})",
    f"  collectives: {collectives or 'none'}",
    f"  {result['flops'] / 1e12:.3g} TFLOP and {result['bytes'] / 1e9:.4g} GB "
    f"a device: {seconds:.4g} s at the roofline (held up by {shares})",
    f"  loops: {loops or 'none'}",
    "  at best " + _rates(result["expected"]),
  ]
  if "measured" in result:
    measured = result["measured"]
    lines.append(f"  measured {measured['seconds']:.4g} s, {_rates(measured)}")
  return lines


def _rates(figures: dict[str, float]) -> str:
  return (
    ", ".join(
      f"{figures[key]:,.4g} {what}/s"
      for key, what in (
        ("nodes_per_second_per_chip", "nodes"),
        ("tokens_per_second_per_chip", "tokens"),
      )
      if key in figures
    )
    + " a chip"
  )


def main(argv) -> None:
  del argv
  config = program.CONFIG.value
  figures = preflight(config)
  if program.WORKDIR.value:
    workdir = pathlib.Path(program.WORKDIR.value)
    path = metrics.write_summary(
      workdir,
      figures,
      program="preflight",
      config=config.to_dict(),
      seeds=[config.seed],
    )
    print(f"figures are in {path}")


if __name__ == "__main__":
  program.run(main, needs=("config",))
