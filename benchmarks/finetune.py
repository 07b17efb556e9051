"""Supervised tuning against a plain loop of torch and transformers.

  python benchmarks/finetune.py [--json FILE]

The same model, the same packed rows of countdown's thoughts with the same mask
of documents, AdamW and clipping on both sides, in turns. Printed are tokens a
second of processor time, so that a crowded machine can be measured on, medians,
and how much faster ours is, with the range; and by how much the losses of the
first steps differ. For one thread: taskset -c 0.
"""

import argparse
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

from alphallm import compilation, sharding, tuning  # noqa: E402
from benchmarks.baselines import in_transformers  # noqa: E402
from configs import countdown_traces  # noqa: E402


class Theirs:
  """The plain loop: `step(batch) -> loss`."""

  def __init__(self, model, params, config: tuning.TuningConfig):
    self._network = in_transformers.network_of(model, params).train()
    self._config = config
    self._steps = 0
    self._optimizer = torch.optim.AdamW(
      self._network.parameters(),
      lr=config.learning_rate,
      betas=(0.9, config.b2),
      weight_decay=config.weight_decay,
    )

  def step(self, batch) -> float:
    rate = self._config.learning_rate
    rate *= min(1.0, self._steps / self._config.warmup_steps)
    self._steps += 1
    for group in self._optimizer.param_groups:
      group["lr"] = rate
    as_tensor = lambda x: torch.from_numpy(np.array(x))
    documents = as_tensor(batch.documents)
    size = documents.shape[1]
    seen = documents[:, :, None] == documents[:, None, :]
    seen &= torch.ones(size, size, dtype=torch.bool).tril()
    logits = self._network(
      input_ids=as_tensor(batch.tokens).long(),
      position_ids=as_tensor(batch.positions).long(),
      attention_mask=seen[:, None],
      use_cache=False,
    ).logits
    losses = torch.nn.functional.cross_entropy(
      logits.flatten(0, 1),
      as_tensor(batch.targets).long().flatten(),
      reduction="none",
    )
    weights = as_tensor(batch.weights).flatten()
    loss = (losses * weights).sum() / weights.sum()
    self._optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(
      self._network.parameters(), self._config.clip_norm
    )
    self._optimizer.step()
    return loss.item()


class Ours:
  """The step of `alphallm.finetune`: `step(batch) -> loss`."""

  def __init__(self, tuner: tuning.Tuner, params):
    self._tuner, self._state = tuner, tuner.init(params)

  def step(self, batch) -> float:
    self._state, figures = self._tuner.step(self._state, batch)
    return float(figures["loss"])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", default="tiny", help="of countdown_traces.py")
  parser.add_argument("--rows", type=int, help="instead of the config's")
  parser.add_argument("--steps", type=int, default=3, help="of each turn")
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  threads = len(os.sched_getaffinity(0))
  torch.set_num_threads(threads)
  transformers.logging.set_verbosity_error()
  config = countdown_traces.get_config(args.size)
  if args.rows:
    config.tuning.batch_size = args.rows
  run = tuning.make(config)
  tuner = tuning.Tuner(run, sharding.make_mesh())
  params = jax.device_get(tuner.init().params)
  stream = tuner.batches("train")
  batches = [jax.device_get(next(stream)[0]) for _ in range(args.steps)]
  tokens = sum(int((batch.documents > 0).sum()) for batch in batches)
  loops = {
    "alphallm": Ours(tuner, jax.device_put(params)),
    "transformers": Theirs(run.model, params, run.tuning),
  }
  losses = {  # compiles, and the learning is the same on both sides
    name: np.array([loop.step(batch) for batch in batches])
    for name, loop in loops.items()
  }
  differ = float(np.max(np.abs(losses["alphallm"] - losses["transformers"])))
  size = sum(x.size for x in jax.tree.leaves(params))
  print(
    f"{size:,} parameters, {args.steps} steps of {run.tuning.batch_size} rows "
    f"of {run.tuning.row_tokens} places, {tokens:,} tokens in them, {threads} "
    f"thread(s), jax {jax.__version__}, torch {torch.__version__}, "
    f"transformers {transformers.__version__}; losses differ by at most "
    f"{differ:.1e}",
    flush=True,
  )
  spent = {name: [] for name in loops}
  for _ in range(args.repeats):
    for name, loop in loops.items():
      began = time.process_time()
      for batch in batches:
        loop.step(batch)
      spent[name].append(time.process_time() - began)
  speed = {
    name: tokens / statistics.median(times) for name, times in spent.items()
  }
  ratios = [
    theirs / ours
    for ours, theirs in zip(
      spent["alphallm"], spent["transformers"], strict=True
    )
  ]
  print("\n| loop | tokens/s |\n|---|---|")
  for name, value in speed.items():
    print(f"| {name} | {value:,.0f} |")
  print(
    f"\nours is faster by {statistics.median(ratios):.2f} "
    f"({min(ratios):.2f} to {max(ratios):.2f})"
  )
  if args.json:
    figures = {
      "tokens_per_second": speed,
      "ratio": statistics.median(ratios),
      "ratios": ratios,
      "losses_differ": differ,
    }
    pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
  main()
