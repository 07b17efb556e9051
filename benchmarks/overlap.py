"""Whether actors play while the learner learns, and what the host waits for.

python benchmarks/overlap.py [--config FILE] [--devices 4] [--actors 2]
    [--ahead 1] [--iterations 8] [--json FILE]

Devices are made of the host's cores, or are those at hand (`--devices 0`). A
round is under way from when its weights and the round before it are ready until
it is; learning from when its round and the weights before are. Threads that
wait for these arrays note the times. The table shows `both`, the share of the
time of playing in which the learner was learning, too, and `unfinished`, the
share of iterations that the host had dispatched before the learning of the one
before was done: it has waited for nothing then. On cores that devices share
both slow each other down: there the shares tell that nothing waits, and not how
much faster a run would be.
"""

import argparse
import json
import os
import pathlib
import threading
import time


def measure(args) -> dict[str, float]:
  """Return the figures of a run in turns or apart."""
  import importlib.util

  import jax

  from alphallm import compilation, sharding, trainer
  from alphallm import config as config_lib

  compilation.enable_compilation_cache()
  spec = importlib.util.spec_from_file_location("config", args.config)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = module.get_config()
  config.selfplay.ahead, config.mesh.actors = args.ahead, args.actors
  run = config_lib.make_run(config)
  made = trainer.Trainer(run, *sharding.make_meshes(run.mesh))
  state = made.init()
  for i in range(args.warm_up):
    state, scalars = made.iterate(state, i)
  jax.block_until_ready((scalars, state.rounds))
  ready, threads = {}, []

  def note(name, arrays):
    def wait():
      jax.block_until_ready(arrays)
      ready[name] = time.monotonic()

    threads.append(threading.Thread(target=wait))
    threads[-1].start()

  first, unfinished = args.warm_up, 0
  learn, play_round = made._learn, made.actors.play_round

  def noted_play(policy, slots, number, levels):
    # The cost is not given away as the slots are.
    slots, played = play_round(policy, slots, number, levels)
    note(("play", number), played.harvest.cost)
    return slots, played

  def noted_learn(*given):
    learned = learn(*given)
    note(("learn", i), learned[-1])
    return learned

  made._learn, made.actors.play_round = noted_learn, noted_play
  began = time.monotonic()
  for i in range(first, first + args.iterations):
    state, scalars_now = made.iterate(state, i)
    unfinished += i > first and not scalars["loss"].is_ready()
    jax.block_until_ready(scalars)  # those of the iteration before
    scalars = scalars_now
  for thread in threads:
    thread.join()
  last = max(ready.values())
  at = lambda name: ready.get(name, began)
  spans = {"play": [], "learn": []}
  for (what, i), end in ready.items():
    if what == "play":
      since = at(("play", i - 1)), at(("learn", i - args.ahead - 1))
    else:
      since = at(("learn", i - 1)), at(("play", i))
    spans[what].append((max(since), end))
  length = lambda begin, end: max(0.0, end - begin)
  both = sum(
    length(max(a, c), min(b, d))
    for a, b in spans["play"]
    for c, d in spans["learn"]
  )
  seconds = {k: sum(length(*span) for span in v) for k, v in spans.items()}
  return {
    "actors": args.actors,
    "ahead": args.ahead,
    "play_seconds": seconds["play"] / args.iterations,
    "learn_seconds": seconds["learn"] / args.iterations,
    "both": both / seconds["play"],
    "unfinished": unfinished / max(args.iterations - 1, 1),
    "iteration_seconds": (last - began) / args.iterations,
  }


def main():
  root = pathlib.Path(__file__).parents[1]
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--config", default=str(root / "configs/quickstart.py"))
  parser.add_argument("--devices", default=4, type=int, help="0: at hand")
  parser.add_argument("--actors", default=2, type=int)
  parser.add_argument("--ahead", default=1, type=int)
  parser.add_argument("--iterations", default=8, type=int)
  parser.add_argument("--warm-up", default=2, type=int, help="iterations")
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  if args.devices:
    flag = f"--xla_force_host_platform_device_count={args.devices}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
    os.environ["JAX_PLATFORMS"] = "cpu"
  row = measure(args)
  print("| " + " | ".join(row) + " |")
  print("|" + "---|" * len(row))
  print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |")
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
  main()
