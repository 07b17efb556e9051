"""Decoding of a language model against transformers and the bare products.

  python benchmarks/decode.py --model FOLDER_OR_GGUF [--json FILE]

Sequences are decoded side by side, by `alphallm.search.candidates`, from
prompts of random tokens: greedily, and sampled; in turns with the `generate` of
transformers on the same weights, and with a loop that does nothing but the
matrix products of a decoding step. Each is run to its first token too, which is
taken off, so that prompts do not count. Printed are tokens a second of
processor time, so that a crowded machine can be measured on, medians, and how
much faster ours is than theirs, with the range. For one thread: taskset -c 0.
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
import jax.numpy as jnp
import numpy as np
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, models  # noqa: E402
from alphallm.models import attention  # noqa: E402
from alphallm.search import candidates  # noqa: E402
from benchmarks.baselines import in_transformers  # noqa: E402


def ours(model, length: int, sampled: bool):
  """Return the jitted decoder `(params, prompts [B, P]) -> tokens [B, T]`."""

  def decode(params, prompts):
    batch, size = prompts.shape
    places = jnp.broadcast_to(jnp.arange(size)[None, None], (batch, 1, size))
    output = model.apply(
      params,
      prompts[:, None],
      places,
      read=jnp.full((batch, 1, 1), size - 1),
    )
    prompt = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], output.kv),
      mask=jnp.ones((batch, 1, 1, size), bool),
    )
    steps, _ = candidates.sample(
      model.apply,
      params,
      jax.random.split(jax.random.key(0), batch),
      output.logits[:, 0, 0],
      jnp.full((batch,), size),
      [prompt],
      num_candidates=1,
      max_step_tokens=length,
      stop_ids=(-1,),
      noise=sampled,
      distinct=not sampled,
    )
    return steps.tokens[:, 0]

  return jax.jit(decode)


def bare(config, length: int):
  """Return the products of as many steps, `(params, x [B, embed_dim]) -> x`."""

  def step(i, x, params):
    del i
    params = params["params"]
    for layer in range(config.num_layers):
      kernel = lambda name, p=params[f"layer_{layer}"]: p[name]["kernel"]
      unused = jnp.sum(x @ kernel("key")) + jnp.sum(x @ kernel("value"))
      x = (x @ kernel("query")) @ kernel("output") + 1e-9 * unused
      x = 1e-3 * (x @ kernel("gate") + x @ kernel("up")) @ kernel("down")
    if config.tie_embeddings:
      logits = x @ params["embed"]["embedding"].T
    else:
      logits = x @ params["lm_head"]["kernel"]
    return 1e-3 * x + 1e-9 * jnp.max(logits, axis=-1, keepdims=True)

  return jax.jit(
    lambda params, x: jax.lax.fori_loop(
      0, length, functools.partial(step, params=params), x
    )
  )


def theirs(model, params, dtype: str):
  """Return `generate` of transformers, `(prompts, length, sampled)`."""
  network = in_transformers.network_of(model, params, dtype)

  def generate(prompts, length: int, sampled: bool):
    with torch.inference_mode():
      tokens = network.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=length,
        min_new_tokens=length,
        do_sample=sampled,
        top_k=0,
        pad_token_id=0,
      )
    return tokens[:, prompts.shape[1] :]

  return generate


def seconds(run) -> float:
  began = time.process_time()
  np.asarray(run())
  return time.process_time() - began


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", required=True)
  parser.add_argument("--sequences", type=int, default=16)
  parser.add_argument("--prompt", type=int, default=32, help="tokens")
  parser.add_argument("--length", type=int, default=64, help="tokens decoded")
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  threads = len(os.sched_getaffinity(0))
  torch.set_num_threads(threads)
  transformers.logging.set_verbosity_error()
  model, params = models.load(args.model, dtype=args.dtype)
  small, small_params = models.quantize(model, params)
  batch = args.sequences
  prompts = jax.random.randint(
    jax.random.key(0), (batch, args.prompt), 4, model.config.vocab_size
  )
  torch_prompts = torch.tensor(prompts.tolist())
  generate = theirs(model, params, args.dtype)
  x = jnp.ones((batch, model.config.embed_dim), args.dtype)
  programs = {"bare products": {}}
  for length in 1, args.length:
    products = bare(model.config, length)
    programs["bare products"][length] = lambda f=products: f(params, x)
    decode = ours(small, length, False)
    programs.setdefault("greedy, int8", {})[length] = lambda f=decode: f(
      small_params, prompts
    )
    for name, sampled in ("greedy", False), ("sampled", True):
      decode = ours(model, length, sampled)
      lengths = programs.setdefault(name, {})
      lengths[length] = lambda f=decode: f(params, prompts)
      lengths = programs.setdefault(f"{name}, transformers", {})
      lengths[length] = functools.partial(
        generate, torch_prompts, length, sampled
      )
  first = {
    name: [run() for run in lengths.values()][-1].tolist()  # compiles
    for name, lengths in programs.items()
  }
  agree = lambda name: sum(
    a == b for a, b in zip(first["greedy"], first[name], strict=True)
  )
  same = agree("greedy, transformers")
  print(
    f"{args.model}, {args.dtype}: {batch} sequences of {args.length} tokens "
    f"after {args.prompt}, {threads} thread(s), jax {jax.__version__}, torch "
    f"{torch.__version__}, transformers {transformers.__version__}; greedily "
    f"{same} of {batch} are the same, and {agree('greedy, int8')} in int8",
    flush=True,
  )
  spent = {name: [] for name in programs}
  for _ in range(args.repeats):
    for name, lengths in programs.items():
      short, long = (seconds(run) for run in lengths.values())
      spent[name].append(long - short)
  speed = {
    name: batch * (args.length - 1) / statistics.median(times)
    for name, times in spent.items()
  }
  figures = {"tokens_per_second": speed, "same": same}
  print("\n| what | tokens/s | of bare products | of transformers |")
  print("|---|---|---|---|")
  for name in programs:
    against = ""
    if f"{name}, transformers" in spent:
      ratios = [
        b / a
        for a, b in zip(
          spent[name], spent[f"{name}, transformers"], strict=True
        )
      ]
      against = (
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f})"
      )
      figures[f"{name}_against_transformers"] = statistics.median(ratios)
      figures[f"{name}_of_bare"] = speed[name] / speed["bare products"]
    share = speed[name] / speed["bare products"]
    print(f"| {name} | {speed[name]:.0f} | {share:.0%} | {against} |")
  if args.json:
    pathlib.Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
  main()
