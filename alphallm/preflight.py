"""What a run will need and how fast it can be, before any chip is paid for.

python -m alphallm.preflight --config configs/NAME.py --topology v5e:4x4
    [--shape qwen2.5-7b] [--layers 1,2] [--programs self_play,learn]

Self-play, learning and evaluation are compiled for a TPU topology, of which no
chip is needed, or without --topology for the devices at hand, where they are
then run. Nothing of the size of the parameters is allocated for a topology.
"""

import pathlib
from typing import Any

import jax
from absl import flags

from alphallm import config as config_lib
from alphallm import forecast, metrics, program, shapes, sharding, timing
from alphallm import trainer as trainer_lib
from alphallm.compiled import roofline, topology

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
  "programs", None, "Some of " + ", ".join(forecast.NAMES) + "; all if None."
)


def preflight(config: Any) -> dict[str, Any]:
  """Foresee the programs of a run, and run them where the devices are here.

  Returns:
    What is printed, by plain keys; `preflight` holds a dictionary of each
    program, see `forecast.judged`.

  Raises:
    UserError: for a config, a topology, a shape or layers that do not fit.
  """
  # What a program takes to compile is not what it takes to be read.
  jax.config.update("jax_enable_compilation_cache", False)
  devices, chip = _devices()
  run = _run(config)
  mesh, count = sharding.make_mesh(run.mesh, devices=devices), len(devices)
  whole = run.model.config.num_layers
  depths, names = _depths(whole), _names()
  trainer = trainer_lib.Trainer(run, mesh)
  made = forecast.programs(trainer)
  state = forecast.state_bytes(trainer)
  size = sum(x.size for x in jax.tree.leaves(trainer.abstract().learner.params))
  held = ", ".join(f"{name} {_size(n)}" for name, n in state.items() if n)
  print(
    f"{size:,} parameters in {whole} layers, on {count} x {chip.name}, "
    f"{_size(chip.memory)} each\n"
    f"state of the run: {_size(sum(state.values()))} a device ({held})",
    flush=True,
  )
  shallow = [
    forecast.programs(trainer_lib.Trainer(forecast.at_depth(run, depth), mesh))
    for depth in depths
  ]
  results = {}
  for name in names:
    print(f"{name}:", flush=True)
    one, few = made[name], [programs[name] for programs in shallow]
    results[name], ready = _foreseen(one, few, depths, trainer, chip)
    if ready and not _TOPOLOGY.value and results[name]["fits"]:
      seconds, counts = timing.run(name, trainer, one.arguments, ready)
      results[name]["measured"] = {"seconds": seconds} | forecast.rates(
        {"tokens": one.tokens} | counts, seconds, count
      )
    print("\n".join(_lines(results[name], chip)), flush=True)
  return {
    "devices": count,
    "chip": chip,
    "parameters": size,
    "state": state,
    "layers_compiled": list(depths) or [whole],
    "preflight": results,
  }


def _foreseen(
  one: forecast.Program,
  shallow: list[forecast.Program],
  depths: tuple[int, ...],
  trainer: trainer_lib.Trainer,
  chip: roofline.Chip,
) -> tuple[dict[str, Any], jax.stages.Compiled | None]:
  """Return the figures of a program, or the reason why it does not fit.

  Args:
    one: the program.
    shallow: the same of networks with the `depths`, in place of the whole one.
    depths: () for the whole network.
    trainer: of the run.
    chip: that it is compiled for.

  Returns:
    The figures; the program, if it has been compiled as a whole.
  """
  run, whole = trainer.run, trainer.run.model.config.num_layers
  state, ready = sum(forecast.state_bytes(trainer).values()), None
  least = state + one.gathered
  if least > chip.memory:
    reason = (
      f"{_size(least)} of {_size(chip.memory)} at least: state "
      f"{_size(state)}, parameters that each device collects whole "
      f"{_size(one.gathered)}"
    )
    return {"fits": False, "needed": least, "reason": reason}, None
  try:
    if depths:
      few = [forecast.foresee(program, run, chip)[0] for program in shallow]
      told = forecast.extend(*few, depths, whole)
      told["compile_seconds"] = sum(f["compile_seconds"] for f in few)
    else:
      told, ready = forecast.foresee(one, run, chip)
  except MemoryError as error:
    return {"fits": False, "reason": str(error)}, None
  return forecast.judged(told, one, state, trainer.mesh.size, chip), ready


def _devices() -> tuple[list[Any], roofline.Chip]:
  """Return the devices of --topology, or those at hand, and what they can."""
  if not _TOPOLOGY.value:
    return jax.devices(), roofline.of_device(jax.devices()[0])
  jax.config.update("jax_platforms", "cpu")
  devices = topology.devices_of(_TOPOLOGY.value)
  return devices, roofline.CHIPS[devices[0].device_kind]


def _run(config: Any) -> config_lib.Run:
  if _SHAPE.value:
    return shapes.run_of(config.to_dict(), _SHAPE.value)
  return config_lib.make_run(config)


def _names() -> list[str]:
  """Return the names of --programs, all if it is not given."""
  names = _PROGRAMS.value or list(forecast.NAMES)
  for name in names:
    if name not in forecast.NAMES:
      raise config_lib.UserError(
        f"--programs: {name} is none of {', '.join(forecast.NAMES)}"
      )
  return names


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


def _size(number: float) -> str:
  """Return bytes in words."""
  for unit in ("B", "KiB", "MiB"):
    if number < 1024:
      return f"{number:.3g} {unit}"
    number /= 1024
  return f"{number:,.2f} GiB"


def _lines(result: dict[str, Any], chip: roofline.Chip) -> list[str]:
  """Return what is printed of a program."""
  if "reason" in result:
    return [f"  does not fit: {result['reason']}"]
  parts = ", ".join(
    f"{kind} {_size(n)}" for kind, n in result["memory"].items()
  )
  seconds = result["roofline_seconds"]
  shares = ", ".join(
    f"{kind} {100 * part / seconds:.0f}%"
    for kind, part in result["held_up_by"].items()
  )
  collectives = ", ".join(
    f"{kind} {some['count']} x, {_size(some['bytes'])} in all"
    for kind, some in result["collectives"].items()
  )
  words = {
    "bound": "{} at most",
    "assumed": "{} assumed",
    "unknown": "1 for want of knowledge",
  }
  loops = [
    f"{function} {words[source].format(times)}"
    for function, times, source in result["loops"]
    if source in words
  ]
  fits = "fits" if result["fits"] else "does not fit"
  lines = [
    f"  compiled in {result['compile_seconds']:.1f} s",
    f"  {fits}: {_size(result['needed'])} of {_size(chip.memory)} ({parts};"
    f" keys and values of the search {_size(result['pages'])})",
    f"  collectives: {collectives or 'none'}",
    f"  {result['flops'] / 1e12:.3g} TFLOP and {result['bytes'] / 1e9:.4g} GB "
    f"a device: {seconds:.4g} s at the roofline (held up by {shares})",
    f"  rounds of loops: {', '.join(dict.fromkeys(loops)) or 'all known'}",
    f"  at best {_rates(result['expected'])}",
  ]
  if "measured" in result:
    measured = result["measured"]
    lines.append(f"  measured {measured['seconds']:.4g} s: {_rates(measured)}")
  return lines


def _rates(figures: dict[str, float]) -> str:
  rates = [
    f"{figures[key]:,.4g} {what}/s"
    for what in ("nodes", "tokens")
    if (key := f"{what}_per_second_per_chip") in figures
  ]
  return ", ".join(rates) + " a chip"


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
