"""Tree search of one move against four ways to write it without pages.

  python benchmarks/search.py [--prefix 64,512] [--batch 1,16]
      [--simulations 16,64] [--candidates 8] [--json FILE]

  (a) mctx, the whole prefix passed again for every node
  (b) mctx, a cache of the whole prefix in every node
  (c) a tree of Python objects, the problems side by side
  (d) the same, one problem at a time

All search the same free text with the same random network, in turns, in one
process; (a) and (b) find the very tree that `alphallm.search` finds. Printed
are nodes a second and by how much it is faster, medians, and the range of the
ratios. Then: the memory of (b) against ours, how much of our time is spent
outside the network, and how the cost of a node grows with the tree.
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
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, models, search, tasks  # noqa: E402
from alphallm.models import transformer  # noqa: E402
from alphallm.search import context as context_lib  # noqa: E402
from alphallm.search import tree_search  # noqa: E402
from benchmarks.baselines import in_mctx, in_python  # noqa: E402

STEP, DEPTH = 8, 8  # tokens of a step, steps of a text


@dataclasses.dataclass(frozen=True)
class Ids:
  """A tokenizer of ids of which none ends a text, so that all trees grow."""

  vocab_size: int = 256
  eos_id: int = -1


class Setting:
  """One prefix, batch and budget, and the programs that search it."""

  def __init__(
    self, config, prefix: int, batch: int, simulations: int, candidates: int
  ):
    self.simulations, self.batch = simulations, batch
    self.candidates = candidates
    self.task = tasks.Text(
      tokenizer=Ids(),
      max_prompt_tokens=prefix,
      max_step_tokens=STEP,
      max_steps=DEPTH,
    )
    network = models.PolicyValueTransformer(config)
    self.apply_fn = network.apply
    self.params = models.init_params(config, jax.random.key(0))
    # A value head that says something, so that trees are not all alike.
    head = self.params["params"]["value_head"]
    head["kernel"] = jax.random.normal(jax.random.key(1), head["kernel"].shape)
    rng = np.random.default_rng(0)
    prompts = rng.integers(4, 256, (batch, prefix))
    self.texts = prompts.tolist()
    self.problems = self.task.problems(self.texts)

  def ours(self, apply_fn=None):
    """Return the jitted search `(params, problems) -> tree_search.Move`."""
    task, config = self.task, self.search_config()
    apply_fn = apply_fn or self.apply_fn

    def run(params, problems):
      begin = jax.vmap(functools.partial(context_lib.initial, task))(problems)
      state = jax.vmap(task.init)(problems)
      keys = jax.random.split(jax.random.key(0), self.batch)
      return tree_search.search(
        apply_fn, task, config, params, keys, state, begin
      )

    return jax.jit(run)

  def search_config(self):
    return search.SearchConfig(
      num_simulations=self.simulations,
      num_candidates=self.candidates,
      max_depth=DEPTH,
      permission="nothing",
      noise=False,
      policy=search.Gumbel(gumbel_scale=0.0),
    )

  def mctx(self, cached: bool):
    """Return the jitted baseline on mctx."""

    def run(params, problems):
      begin = jax.vmap(functools.partial(context_lib.initial, self.task))
      context = begin(problems)
      return in_mctx.search(
        self.apply_fn,
        self.task,
        params,
        context.tokens,
        context.lengths,
        num_simulations=self.simulations,
        k=self.candidates,
        cached=cached,
      )

    return jax.jit(run)

  def python(self):
    """Return the baseline in Python, `(params, texts) -> roots`."""
    size = context_lib.size(self.task)

    @jax.jit
    def evaluate(params, context, length):
      output, segment = in_mctx.passed(self.apply_fn, params, context, length)
      steps = in_mctx.steps_of(
        self.apply_fn,
        params,
        output.logits[:, 0, 0],
        length,
        segment,
        self.task,
        self.candidates,
      )
      value = jax.nn.sigmoid(output.value_logits[:, 0, 0])
      return steps.tokens, steps.log_probs, value

    def run(params, texts):
      def answer(texts):
        context = np.zeros((len(texts), size), np.int32)
        for row, text in zip(context, texts, strict=True):
          row[: min(len(text), size)] = text[:size]
        length = np.minimum([len(text) for text in texts], size)
        answered = evaluate(params, context, np.int32(length))
        return jax.device_get(answered)

      return in_python.search(answer, texts, self.simulations)

    return run


def timed(run) -> float:
  began = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - began


def compare(setting: Setting, repeats: int) -> dict[str, float]:
  """Time ours and the four others in turns; the figures of one row."""
  ours, python = setting.ours(), setting.python()
  recompute, cached = setting.mctx(False), setting.mctx(True)
  arguments = (setting.params, setting.problems)
  one_by_one = lambda: [
    python(setting.params, [text]) for text in setting.texts
  ]
  programs = {
    "ours": lambda: ours(*arguments),
    "a": lambda: recompute(*arguments),
    "b": lambda: cached(*arguments),
    "c": lambda: python(setting.params, setting.texts) and (),
    "d": lambda: one_by_one() and (),
  }
  first = {name: run() for name, run in programs.items()}  # compiles
  mine = first["ours"].tree
  for name in "ab":
    theirs = first[name].search_tree
    same = np.mean(
      np.asarray(mine.children_visits) == np.asarray(theirs.children_visits)
    )
    # Sums of floats in another order may turn a tie.
    if same < 0.99:
      sys.exit(f"({name}) found other trees: {same:.1%} of the visits agree")
  seconds = {name: [] for name in programs}
  for _ in range(repeats):
    for name, run in programs.items():
      seconds[name].append(timed(run))
  nodes = setting.batch * (setting.simulations + 1)
  row = {"nodes_per_second": nodes / statistics.median(seconds["ours"])}
  for name in "abcd":
    ratios = [
      theirs / mine
      for theirs, mine in zip(seconds[name], seconds["ours"], strict=True)
    ]
    row[name] = statistics.median(ratios)
    row[f"{name}_least"], row[f"{name}_most"] = min(ratios), max(ratios)
  row["memory_ratio"] = memory(cached, arguments) / memory(ours, arguments)
  return row


def memory(program, arguments) -> int:
  """Return the bytes that a program needs at once, its arguments aside.

  The trees are part of what it returns, so what is returned counts too.
  """
  analysis = program.lower(*arguments).compile().memory_analysis()
  return analysis.temp_size_in_bytes + analysis.output_size_in_bytes


def without_model(config: transformer.TransformerConfig):
  """Return an `apply_fn` that costs next to nothing, with the same shapes."""
  rng = np.random.default_rng(0)
  table = jnp.asarray(rng.normal(size=(256, 256)), jnp.float32)
  values = jnp.asarray(rng.normal(size=256), jnp.float32)

  def apply_fn(params, tokens, positions, *, segments=(), read=None):
    del params, positions, segments
    b, k, s = tokens.shape
    page = jnp.zeros((b, k, config.num_kv_heads, s, config.head_dim))
    kv = ((page.astype(config.dtype),) * 2,) * config.num_layers
    seen = tokens if read is None else jnp.take_along_axis(tokens, read, axis=2)
    return models.Output(logits=table[seen], value_logits=values[seen], kv=kv)

  return apply_fn


def share_outside(setting: Setting, config, repeats: int) -> float:
  """Return the share of a search's time that is not the network's."""
  arguments = (setting.params, setting.problems)
  whole, empty = setting.ours(), setting.ours(without_model(config))
  runs = (lambda: whole(*arguments)), (lambda: empty(*arguments))
  for run in runs:
    jax.block_until_ready(run())
  pairs = [[timed(run) for run in runs] for _ in range(repeats)]
  return statistics.median(b / a for a, b in pairs)


def numbers(text: str) -> list[int]:
  return [int(x) for x in text.split(",")]


def network(width: int, layers: int) -> transformer.TransformerConfig:
  return models.TransformerConfig(
    vocab_size=256,
    num_layers=layers,
    embed_dim=width,
    num_heads=width // 32,
    num_kv_heads=width // 64,
    head_dim=32,
    mlp_dim=2 * width,
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--prefix", type=numbers, default=[64, 256, 512, 1024])
  parser.add_argument("--batch", type=numbers, default=[1, 16])
  parser.add_argument("--simulations", type=numbers, default=[16, 64])
  parser.add_argument("--candidates", type=int, default=8)
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  small, large = network(64, 3), network(384, 6)
  count = lambda config: sum(
    x.size
    for x in jax.tree.leaves(
      jax.eval_shape(lambda: models.init_params(config, jax.random.key(0)))
    )
  )
  print(
    f"{jax.device_count()} {jax.devices()[0].platform} device(s), jax "
    f"{jax.__version__}, {count(small):,} parameters, {args.candidates} "
    f"candidates of {STEP} tokens, {args.repeats} repeats\n\n"
    "| prefix | B | N | nodes/s | (a) recompute | (b) whole cache "
    "| (c) Python | (d) one by one | memory of (b) |\n"
    "|---|---|---|---|---|---|---|---|---|",
    flush=True,
  )
  rows = []
  for prefix in args.prefix:
    for batch in args.batch:
      for simulations in args.simulations:
        setting = Setting(small, prefix, batch, simulations, args.candidates)
        row = compare(setting, args.repeats)
        rows.append(
          {"prefix": prefix, "batch": batch, "simulations": simulations} | row
        )
        ratio = lambda name, row=row: (
          f"{row[name]:.1f} ({row[name + '_least']:.1f} to "
          f"{row[name + '_most']:.1f})"
        )
        print(
          f"| {prefix} | {batch} | {simulations} "
          f"| {row['nodes_per_second']:.0f} | "
          + " | ".join(ratio(name) for name in "abcd")
          + f" | {row['memory_ratio']:.1f} |",
          flush=True,
        )
  figures = {"rows": rows, "outside": {}, "growth": {}}
  print(
    "\nshare of the time outside the network, prefix 64, B 16, N 64:",
    flush=True,
  )
  for config in small, large:
    share = share_outside(
      Setting(config, 64, 16, 64, args.candidates), config, args.repeats
    )
    figures["outside"][count(config)] = share
    print(f"  {count(config):,} parameters: {share:.1%}", flush=True)
  print("\nnodes/s by the size of the tree, prefix 64, B 16:", flush=True)
  for simulations in 16, 64, 256:
    setting = Setting(small, 64, 16, simulations, args.candidates)
    run, arguments = setting.ours(), (setting.params, setting.problems)
    jax.block_until_ready(run(*arguments))
    times = [
      timed(lambda r=run, a=arguments: r(*a)) for _ in range(args.repeats)
    ]
    speed = 16 * (simulations + 1) / statistics.median(times)
    figures["growth"][simulations] = speed
    print(f"  N {simulations}: {speed:.0f}", flush=True)
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
  main()
