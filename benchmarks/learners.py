"""All learners on one task, from one policy, for the same time.

  python benchmarks/learners.py --workdir W [--learners ppo,grpo,...]
      [--problems blocks_world] [--blocks 4] [--seconds 60] [--clock wall]
      [--seeds 0] [--json FILE]

The first policy imitates random legal steps and knows no strategy. Each learner
of `configs/learners/` goes on from it, with the config's own episodes: sampled,
or found by tree search. `warm_up` clones until that brings nothing more, then
goes on by PPO, within the same time. Compiling and measuring do not count; with
`--clock cpu` what counts is the processor time of this process, for a machine
on which others run. Each measurement is of the average of the weights, on
held-out problems. Options of the config may stand behind a name, as in
`alphazero:learner.learn_from="all":search.num_simulations=8`. What FILE
holds is not measured again: give each task and time a FILE of its own.
"""

import argparse
import ast
import importlib
import json
import os
import pathlib
import statistics
import sys
import time

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, measurement, plots, sharding  # noqa: E402
from alphallm import config as config_lib  # noqa: E402
from alphallm import trainer as trainer_lib  # noqa: E402
from alphallm.learning import stages  # noqa: E402

LEARNERS = (
  "alphazero",
  "tree_alphazero",
  "tree_ppo",
  "step_dpo",
  "cloning",
  "reinforce",
  "actor_critic",
  "ppo",
  "grpo",
  "rloo",
  "remax",
  "dpo",
  "warm_up",
)
_CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}


def load(learner: str, args, seed: int):
  """Return the config of a learner, without the stage that learns the rules."""
  name, *options = learner.split(":")
  module = importlib.import_module(f"configs.learners.{name}")
  config = module.get_config(args.problems)
  config.seed = seed
  if args.problems == "blocks_world":
    config.task.max_blocks = args.blocks
    config.search.max_depth = 2 * args.blocks
  config.train.num_eval_problems = args.measured
  if "before" in config:
    config.before = config.before[1:]
  for path, value in (option.split("=") for option in options):
    config.update_from_flattened_dict({path: ast.literal_eval(value)})
  return config


def first_policy(args, seed: int):
  """Return parameters that imitate random legal steps."""
  config = load("cloning", args, seed)
  config.learner.update(learn_from="all", value_weight=0.0)
  config.search.update(
    num_simulations=0, permission="rules", rules_propose=True
  )
  config.selfplay.player = "search"
  trainer = _trainer(config_lib.make_run(config))
  state = trainer.init()
  for iteration in range(args.iterations):
    state, scalars = trainer.iterate(state, iteration)
    jax.block_until_ready(scalars)
  return state.learner.params


def _trainer(run: config_lib.Run) -> trainer_lib.Trainer:
  return trainer_lib.Trainer(run, sharding.make_mesh())


def curve(name, args, seed, params, begun, measure) -> list[dict[str, float]]:
  """Learn for so many seconds; what was measured before and on the way."""
  configs, runs = config_lib.make_stages(load(name, args, seed))
  trainers, clock = [_trainer(run) for run in runs], _CLOCKS[args.clock]
  state = trainers[0].init(params=params, iteration=1)
  points, spent, tokens, iteration = [], 0.0, 0.0, 1
  shares = begun
  path, compiled_at = stages.Stages(configs, begun=iteration), {iteration}

  note = lambda: points.append(
    {"train_seconds": spent, "tokens": tokens, **shares}
  )
  note()
  while spent < args.seconds:
    began = clock()
    state, scalars = trainers[path.present].iterate(state, iteration)
    tokens += float(jax.block_until_ready(scalars)["tokens"])
    if iteration not in compiled_at:
      spent += clock() - began
    iteration += 1
    measures = spent >= args.seconds * len(points) / args.points
    if measures:
      shares = measure(state.learner.average)
      note()
    if path.record(iteration, shares["greedy"] if measures else None):
      compiled_at.add(iteration)
      learnt = state.learner.params
      state = trainers[path.present].init(params=learnt, iteration=iteration)
  words = ", ".join(f"{k} {shares[k]:.1%}" for k in shares)
  print(f"{name}, seed {seed}: {iteration - 1} iterations, {words}", flush=True)
  return points


def measured(args) -> dict[str, list[list[dict[str, float]]]]:
  """Return the curves of each learner, one of each seed."""
  seeds, book = args.seeds.split(","), pathlib.Path(args.json or os.devnull)
  found = json.loads(book.read_text() or "{}") if book.exists() else {}
  names = args.learners.split(",")
  for seed in seeds:
    missing = [name for name in names if seed not in found.get(name, {})]
    if not missing:
      continue
    params = first_policy(args, int(seed))
    run = config_lib.make_run(load("alphazero", args, int(seed)))
    measure = measurement.Measurement(run, sharding.make_mesh())
    begun = measure(params)
    for name in missing:
      points = curve(name, args, int(seed), params, begun, measure)
      found.setdefault(name, {})[seed] = points
      book.write_text(json.dumps(found, indent=1))
  return {name: [found[name][seed] for seed in seeds] for name in names}


def table(curves, args) -> str:
  """Return the last figures of all learners, best first, and the first ones."""
  last = {
    name: [points[-1] for points in runs] for name, runs in curves.items()
  }
  last["(before)"] = [points[0] for points in next(iter(curves.values()))]
  methods = [
    k for k in next(iter(last.values()))[0] if k[:4] in ("gree", "mcts")
  ]
  spread = lambda shares: (
    f"{statistics.median(shares):.1%}"
    + (f" ({min(shares):.1%} to {max(shares):.1%})" if shares[1:] else "")
  )
  lines = [
    f"| learner | {' | '.join(methods)} | million tokens |",
    f"|---|{'---|' * (len(methods) + 1)}",
  ]
  order = sorted(
    last, key=lambda name: -statistics.median(x["greedy"] for x in last[name])
  )
  for name in order:
    cells = [spread([x[method] for x in last[name]]) for method in methods]
    tokens = statistics.median(x["tokens"] for x in last[name]) / 1e6
    lines.append(f"| {name} | {' | '.join(cells)} | {tokens:.2f} |")
  return "\n".join(lines)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--workdir", required=True, type=pathlib.Path)
  parser.add_argument("--learners", default=",".join(LEARNERS))
  parser.add_argument("--problems", default="blocks_world")
  parser.add_argument("--blocks", default=4, type=int, help="at most")
  parser.add_argument("--seconds", default=60.0, type=float)
  parser.add_argument("--clock", default="wall", choices=_CLOCKS)
  parser.add_argument("--points", default=4, type=int, help="measurements")
  parser.add_argument("--measured", default=256, type=int, help="problems")
  parser.add_argument(
    "--iterations", default=10, type=int, help="of the first policy"
  )
  parser.add_argument("--seeds", default="0")
  parser.add_argument("--json", help="where the figures go, and are kept")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  args.workdir.mkdir(parents=True, exist_ok=True)
  curves = measured(args)
  begun = next(iter(curves.values()))[0][0]
  print(
    f"\n{args.problems}, {args.seconds:g} s ({args.clock}) each, seeds "
    f"{args.seeds}\n\n"
    f"{table(curves, args)}"
  )
  methods = [k for k in begun if k[:4] in ("gree", "mcts")]
  picture = args.workdir / "learners.png"
  if plots.learners(curves, methods, picture):
    print(f"\npicture: {picture}")


if __name__ == "__main__":
  main()
