"""Self-play by the number of devices, which are made of the host's cores.

python benchmarks/scaling.py [--config FILE] [--devices 1,2,4,8] [--json FILE]

Each device has as many slots; the table shows what the compiler says that one
of them does in a round (loop bodies counted once), the collectives among them,
and how many nodes all of them evaluate in a second. Devices that share cores
share their time: there the cost tells how self-play scales, not the seconds.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time


def measure(args) -> dict[str, float]:
  """Return the figures of this process, with its number of devices."""
  import importlib.util

  import jax

  from alphallm import config as config_lib
  from alphallm import sharding, trainer
  from alphallm.compiled import work

  collectives = re.compile(rf" ({'|'.join(work.COLLECTIVES)})(?:-start)?\(")
  spec = importlib.util.spec_from_file_location("config", args.config)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config()
  config.selfplay.num_slots = args.slots * jax.device_count()
  config.learner.batch_size = args.slots * jax.device_count()
  config.mesh.update(fsdp=min(args.fsdp, jax.device_count()), min_size=0)
  run = config_lib.make_run(config)
  mesh = sharding.make_mesh(run.mesh)
  player = trainer.Trainer(run, mesh)
  state = player.init()
  problems = player.actors.problems
  given = lambda i: (problems.of_round(i, state.learner.params),)
  play, (params, *_) = player.programs()["self_play"]
  params = state.learner.params, params[1]  # who else plays: nobody
  compiled = play.lower(params, state.slots, *given(0)).compile()
  cost = compiled.cost_analysis()
  slots, nodes, began = state.slots, 0, None
  for i in range(args.rounds + 1):
    slots, harvest = compiled(params, slots, *given(i))
    nodes += int(harvest.cost.nodes.sum())
    if not i:  # the first round finds its caches cold
      nodes, began = 0, time.monotonic()
  return {
    "devices": jax.device_count(),
    "flops": cost["flops"],
    "bytes": cost["bytes accessed"],
    "collectives": len(collectives.findall(compiled.as_text())),
    "nodes_per_second": round(nodes / (time.monotonic() - began)),
  }


def main():
  root = pathlib.Path(__file__).parents[1]
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--config", default=str(root / "configs/quickstart.py"))
  parser.add_argument("--devices", default="1,2,4,8")
  parser.add_argument("--slots", default=16, type=int, help="of each device")
  parser.add_argument("--rounds", default=2, type=int, help="that are timed")
  parser.add_argument("--fsdp", default=1, type=int, help="parts of parameters")
  parser.add_argument("--json", help="where the figures go")
  parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.measure:
    print(json.dumps(measure(args)))
    return
  rows = []
  print("| devices | flops of each | bytes of each | collectives | nodes/s |")
  print("|---|---|---|---|---|")
  for devices in map(int, args.devices.split(",")):
    flag = f"--xla_force_host_platform_device_count={devices}"
    ended = subprocess.run(
      [sys.executable, __file__, *sys.argv[1:], "--measure"],
      env=os.environ
      | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}",
        "PYTHONPATH": str(root),
      },
      stdout=subprocess.PIPE,
      text=True,
    )
    if ended.returncode:
      sys.exit(f"on {devices} device(s) it failed, as told above")
    row = json.loads(ended.stdout.splitlines()[-1])
    rows.append(row)
    print(
      f"| {row['devices']} | {row['flops']:.4g} | {row['bytes']:.4g} | "
      f"{row['collectives']} | {row['nodes_per_second']} |",
      flush=True,
    )
  spread = lambda name: max(r[name] for r in rows) / min(r[name] for r in rows)
  print(
    f"\nfrom the least to the most: flops {spread('flops') - 1:.2%}, bytes "
    f"{spread('bytes') - 1:.2%}"
  )
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
  main()
