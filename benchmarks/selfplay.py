"""Self-play with KV pages in the tree against a recompute of the whole prefix.

  python benchmarks/selfplay.py [--blocks 3,4,6,8] [--json FILE]

Both programs search the same problems with the same random weights and keys, in
turns, in one process; they find the same trees. Printed are medians and the
ratio round by round.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, selfplay, tasks  # noqa: E402
from alphallm.models import transformer  # noqa: E402
from alphallm.search import context, tree_search  # noqa: E402


def programs(task, args):
  """Return `{cache: jitted round}` and the arguments of a round."""
  config = selfplay.SelfPlayConfig(num_slots=args.slots, num_moves=args.moves)
  search = tree_search.SearchConfig(
    num_simulations=args.simulations, rules_propose=True, play_solution=False
  )
  model_config = transformer.TransformerConfig(
    vocab_size=task.vocab_size, num_kv_heads=2, mlp_dim=128
  )
  model = transformer.PolicyValueTransformer(model_config)
  params = transformer.init_params(model_config, jax.random.key(0))
  rng = np.random.default_rng(0)
  first = task.sample_numpy(rng, args.slots, "train")
  following = task.sample_numpy(rng, args.slots * args.moves, "train")
  following = jax.tree.map(
    lambda x: x.reshape(args.slots, args.moves, *x.shape[1:]), following
  )
  keys = jax.random.split(jax.random.key(1), args.slots)
  slots = jax.jit(functools.partial(selfplay.start, task, config))(keys, first)
  rounds = {
    cache: jax.jit(
      functools.partial(
        selfplay.play_round,
        model.apply,
        task,
        config,
        dataclasses.replace(search, cache=cache),
      )
    )
    for cache in ("pages", "recompute")
  }
  return rounds, (params, slots, following)


def measure(task, args) -> dict[str, float]:
  """Time both programs in turns; the figures of one row."""
  rounds, arguments = programs(task, args)
  row = {"context": context.size(task), "repeats": args.repeats}
  nodes, seconds = {}, {name: [] for name in rounds}
  for name, play in rounds.items():
    began = time.perf_counter()
    harvest = jax.block_until_ready(play(*arguments)[1])
    row[f"{name}_first_seconds"] = time.perf_counter() - began
    nodes[name] = int(np.sum(harvest.cost.nodes))
  if nodes["pages"] != nodes["recompute"]:
    sys.exit(f"the two programs found different trees: {nodes}")
  for _ in range(args.repeats):
    for name, play in rounds.items():
      began = time.perf_counter()
      jax.block_until_ready(play(*arguments))
      seconds[name].append(time.perf_counter() - began)
  for name, times in seconds.items():
    row[f"{name}_nodes_per_second"] = nodes[name] / statistics.median(times)
  ratios = [
    slow / fast
    for slow, fast in zip(seconds["recompute"], seconds["pages"], strict=True)
  ]
  row["ratio"] = statistics.median(ratios)
  row["ratio_least"], row["ratio_most"] = min(ratios), max(ratios)
  return row


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--blocks", default="3,4,6,8", help="sizes of the worlds")
  parser.add_argument("--slots", type=int, default=32)
  parser.add_argument("--moves", type=int, default=2)
  parser.add_argument("--simulations", type=int, default=16)
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  print(
    f"{jax.device_count()} {jax.devices()[0].platform} device(s), jax "
    f"{jax.__version__}, {args.slots} slots, {args.simulations} simulations, "
    f"{args.repeats} repeats\n\n"
    "| context | blocks | tokens at most | pages, nodes/s | recompute, nodes/s "
    "| pages are faster by |\n|---|---|---|---|---|---|",
    flush=True,
  )
  rows = []
  for kind in ("append", "reset"):
    for blocks in map(int, args.blocks.split(",")):
      task = tasks.BlocksWorld(
        min_blocks=blocks, max_blocks=blocks, context=kind
      )
      row = {"kind": kind, "blocks": blocks, **measure(task, args)}
      rows.append(row)
      print(
        f"| {kind} | {blocks} | {row['context']} "
        f"| {row['pages_nodes_per_second']:.0f} "
        f"| {row['recompute_nodes_per_second']:.0f} "
        f"| {row['ratio']:.2f} ({row['ratio_least']:.2f} to "
        f"{row['ratio_most']:.2f}) |",
        flush=True,
      )
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
  main()
