"""Tree search with a language model against a Python tree over transformers.

  python benchmarks/language_search.py --model FOLDER_OR_GGUF [--json FILE]

Ours searches a step of several problems side by side, in one program, with
pages in the tree. Theirs is a tree of Python objects that calls `generate` for
each node, one problem at a time (so that its nodes a second are those of any
number of problems). Both decode the same tokens for a node: K candidates of T.
Printed are nodes a second of processor time and their ratio, in turns, medians.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import sys
import time

import jax
import numpy as np
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, models, search, tasks  # noqa: E402
from alphallm.search import context as context_lib  # noqa: E402
from alphallm.search import tree_search  # noqa: E402
from benchmarks.baselines import in_python, in_transformers  # noqa: E402
from benchmarks.search import Ids  # noqa: E402


def ours(model, task, config, batch: int):
  """Return the jitted search `(params, problems) -> values`."""

  def run(params, problems):
    begin = jax.vmap(functools.partial(context_lib.initial, task))(problems)
    state = jax.vmap(task.init)(problems)
    keys = jax.random.split(jax.random.key(0), batch)
    found = tree_search.search(
      model.apply, task, config, params, keys, state, begin
    )
    return found.value, found.cost

  return jax.jit(run)


def seconds(run) -> float:
  began = time.process_time()
  run()
  return time.process_time() - began


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True)
  parser.add_argument("--problems", type=int, default=8)
  parser.add_argument("--prefix", type=int, default=64, help="tokens")
  parser.add_argument("--simulations", type=int, default=16)
  parser.add_argument("--candidates", type=int, default=4)
  parser.add_argument("--step_tokens", type=int, default=16)
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  threads = len(os.sched_getaffinity(0))
  torch.set_num_threads(threads)
  transformers.logging.set_verbosity_error()
  model, params = models.load(args.model)
  network = in_transformers.network_of(model, params)
  task = tasks.Text(
    tokenizer=Ids(vocab_size=model.config.vocab_size),
    max_prompt_tokens=args.prefix,
    max_step_tokens=args.step_tokens,
    max_steps=1,
  )
  config = search.SearchConfig(
    num_simulations=args.simulations,
    num_candidates=args.candidates,
    max_depth=8,
    permission="nothing",
    leaf_value="likelihood",
    distinct=False,
    policy=search.Gumbel(gumbel_scale=0.0),
  )
  rng = np.random.default_rng(0)
  texts = rng.integers(
    4, model.config.vocab_size, (args.problems, args.prefix)
  ).tolist()
  problems = task.problems(texts)
  run = ours(model, task, config, args.problems)
  evaluate = in_transformers.evaluator(
    network, num_candidates=args.candidates, step_tokens=args.step_tokens
  )
  _, cost = jax.block_until_ready(run(params, problems))  # compiles
  nodes = int(cost.nodes.sum())
  in_python.search(evaluate, texts[:1], 1)
  rates = []
  for repeat in range(args.repeats):
    mine = seconds(lambda: jax.block_until_ready(run(params, problems)))
    text = texts[repeat % len(texts)]
    other = seconds(
      lambda t=text: in_python.search(evaluate, [t], args.simulations)
    )
    rates.append((nodes / mine, (args.simulations + 1) / other))
  ratios = [a / b for a, b in rates]
  figures = {
    "nodes_per_second": statistics.median(a for a, _ in rates),
    "python_nodes_per_second": statistics.median(b for _, b in rates),
    "ratio": statistics.median(ratios),
    "ratio_least": min(ratios),
    "ratio_most": max(ratios),
  }
  print(
    f"{args.model}: {args.problems} problems after {args.prefix} tokens, "
    f"{args.simulations} simulations, {args.candidates} candidates of "
    f"{args.step_tokens} tokens, {threads} thread(s), jax {jax.__version__}, "
    f"torch {torch.__version__}, transformers {transformers.__version__}\n"
    f"ours {figures['nodes_per_second']:.2f} nodes/s, in Python "
    f"{figures['python_nodes_per_second']:.2f}: {figures['ratio']:.1f} times "
    f"({min(ratios):.1f} to {max(ratios):.1f})"
  )
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
  main()
