"""What the options of a search cost and gain, on a policy that was trained.

  python benchmarks/options.py --config configs/blocks_world.py:5 --workdir W
      [--simulations 16,64] [--num_problems 256] [--permission rules]

Of every option: the share of held-out problems that are solved, with its 95%
interval; nodes a problem; and how much faster than the plain search one problem
alone is searched, and sixteen: nodes a second, medians of runs in turns.
"""

import argparse
import dataclasses
import importlib.util
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, measure, runs  # noqa: E402
from alphallm import config as config_lib  # noqa: E402

OPTIONS = {
  "plain": {},
  "width 2": {"width": 2},
  "width 4": {"width": 4},
  "width 8": {"width": 8},
  "carry over": {"carry_over": True},
  "stop decided": {"stop_decided": True},
}


def read_config(path: str):
  """Return the ConfigDict of `FILE.py:VARIANT`."""
  path, _, variant = path.partition(":")
  spec = importlib.util.spec_from_file_location("config", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(*([variant] if variant else []))


def speeds(solvers, params, problems, batch: int, repeats: int):
  """Return nodes a second of each solver, of the first `batch` problems."""
  few = jax.tree.map(lambda x: x[:batch], problems)
  keys = jax.random.split(jax.random.key(0), batch)
  nodes = {
    name: int(np.sum(solve(params, keys, few).cost.nodes))
    for name, solve in solvers.items()
  }
  found = {name: [] for name in solvers}
  for _ in range(repeats):
    for name, solve in solvers.items():
      began = time.perf_counter()
      jax.block_until_ready(solve(params, keys, few))
      found[name].append(nodes[name] / (time.perf_counter() - began))
  return {name: statistics.median(values) for name, values in found.items()}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--config", required=True)
  parser.add_argument("--workdir", required=True, type=pathlib.Path)
  parser.add_argument("--simulations", default="16,64")
  parser.add_argument("--num_problems", type=int, default=256)
  parser.add_argument("--permission", default="rules")
  parser.add_argument("--repeats", type=int, default=5)
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  run = config_lib.make_run(read_config(args.config), args.workdir)
  params, iteration = runs.load(run, args.workdir)
  level = max(run.task.levels, default=0)
  problems = measure.held_out(run.task, args.num_problems, level)
  print(
    f"iteration {iteration} of {args.config}, {args.num_problems} problems, "
    f"may ask: {args.permission}; {jax.device_count()} "
    f"{jax.devices()[0].platform} device(s), jax {jax.__version__}\n\n"
    "| simulations | option | solved | 95% interval | nodes a problem "
    "| alone, nodes/s | 16 together, nodes/s |\n|---|---|---|---|---|---|---|",
    flush=True,
  )
  for simulations in map(int, args.simulations.split(",")):
    plain = dataclasses.replace(
      config_lib.for_evaluation(run, simulations),
      permission=args.permission,
      shrink=0,
    )
    solvers = {
      name: measure.solver(
        run.model.apply, run.task, dataclasses.replace(plain, **option)
      )
      for name, option in OPTIONS.items()
    }
    alone = speeds(solvers, params, problems, 1, args.repeats)
    together = speeds(solvers, params, problems, 16, args.repeats)
    for name, solve in solvers.items():
      result = measure.run(
        solve, params, jax.random.key(0), problems, batch_size=16
      )
      solved = int(np.sum(result.solved))
      low, high = measure.interval(solved, args.num_problems)
      ratios = [
        f"{x[name]:.0f} ({x[name] / x['plain']:.2f}x)"
        for x in (alone, together)
      ]
      print(
        f"| {simulations} | {name} | {solved / args.num_problems:.1%} "
        f"| {low:.1%} to {high:.1%} | {np.mean(result.cost.nodes):.0f} | "
        + " | ".join(ratios)
        + " |",
        flush=True,
      )


if __name__ == "__main__":
  main()
