"""Learning with tree search against imitating what sampling solved.

  python benchmarks/with_and_without_search.py --workdir W
      [--blocks 4,5,6] [--seeds 0,1,2] [--json FILE]

Both arms start from the same random weights, draw the same candidates, are told
which of them are illegal and which solve, and learn with the same settings; the
one without search has no tree: it plays a candidate that it draws and imitates
the episodes that came out solved. They are compared at equal seconds of
training. Each run has its own folder in W: one that was stopped goes on, one
that is finished is read.
"""

import argparse
import json
import pathlib
import statistics
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, metrics, plots, train  # noqa: E402
from configs import blocks_world  # noqa: E402

_ARMS = {"with search": "", "without": ",no_search"}


def curve(config, workdir: pathlib.Path) -> list[dict[str, float]]:
  """Train, or read what was trained; the lines that hold a measurement."""
  train.train(config, workdir)
  return [x for x in metrics.read_metrics(workdir) if "train_seconds" in x]


def at(lines: list[dict[str, float]], seconds: float, name: str) -> float:
  """Return a figure after so many seconds, between measurements on a line."""
  times = [line["train_seconds"] for line in lines]
  return float(np.interp(seconds, times, [line[name] for line in lines]))


def compare(blocks: int, seeds: list[int], workdir: pathlib.Path):
  """Return the curves of every arm and seed, and a row for each arm."""
  curves = {}
  for arm, variant in _ARMS.items():
    curves[arm] = []
    for seed in seeds:
      config = blocks_world.get_config(f"{blocks}{variant}")
      config.seed = seed
      folder = workdir / f"{blocks}_{arm.replace(' ', '_')}_{seed}"
      curves[arm].append(curve(config, folder))
  # Equal time: as long as the shortest of all runs.
  seconds = min(x[-1]["train_seconds"] for arm in curves.values() for x in arm)
  rows = []
  for arm, runs in curves.items():
    row = {"blocks": blocks, "arm": arm, "seconds": seconds, "seeds": seeds}
    for method in ("greedy", "mcts_16"):
      row[method] = [at(lines, seconds, f"test/{method}") for lines in runs]
    rows.append(row)
  return curves, rows


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--workdir", required=True, type=pathlib.Path)
  parser.add_argument("--blocks", default="4,5,6", help="sizes of the worlds")
  parser.add_argument("--seeds", default="0,1,2")
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  seeds = [int(seed) for seed in args.seeds.split(",")]
  panels, rows = {}, []
  for blocks in map(int, args.blocks.split(",")):
    curves, more = compare(blocks, seeds, args.workdir)
    panels[f"{blocks} blocks"] = curves
    rows += more
  spread = lambda shares: (
    f"{statistics.median(shares):.1%} ({', '.join(f'{x:.1%}' for x in shares)})"
  )
  print(
    f"\nseeds {args.seeds}: median (each)\n\n"
    "| blocks | seconds | learning | greedy | MCTS, 16 simulations |\n"
    "|---|---|---|---|---|"
  )
  for row in rows:
    print(
      f"| {row['blocks']} | {row['seconds']:.0f} | {row['arm']} "
      f"| {spread(row['greedy'])} | {spread(row['mcts_16'])} |"
    )
  picture = args.workdir / "with_and_without_search.png"
  if plots.compare(panels, picture):
    print(f"\npicture: {picture}")
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
  main()
