"""Over-optimisation: what a noisy proxy of the reward earns in truth.

  python benchmarks/over_optimisation.py [--noise 0,1,4] [--seeds 0,1,2,3]
      [--samples 1024] [--budgets 1,2,4,8,16,32,64] [--json FILE] [--png FILE]

A world is a tree of texts, four letters long, and a true reward: a random walk
along the text, of variance 1. The proxy adds noise to whole texts, with heavy
tails (Student's t of two degrees of freedom); what it tells of the beginning of
a text is its mean over the policy's ways on. Best-of-N, beam and tree search
follow the proxy. Both rewards are told against d = √KL(found || policy), as in
Gao et al. (2023): for best-of-N KL = log n − (n − 1) / n, an upper bound that
is tight while texts do not repeat; for the others it is that of the texts
found, counted over all samples of a world (less (texts − 1) / (2 x samples),
the bias of counting by Miller and Madow).
"""

import argparse
import itertools
import json
import math
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import compilation, models, plots, search, tasks  # noqa: E402
from alphallm import tokenizer as tokenizer_lib  # noqa: E402

LETTERS, LENGTH, K = "abcd", 4, 4
WORDS = tokenizer_lib.Tokenizer.train([LETTERS + ":"])
IDS = np.array([WORDS.id(letter) for letter in LETTERS])
TEXTS = np.array(list(itertools.product(range(4), repeat=LENGTH)))
TASK = tasks.Text(
  tokenizer=WORDS, max_prompt_tokens=1, max_step_tokens=1, max_steps=LENGTH
)


def place(tokens, length):
  """Return the number of a text among all beginnings, the shorter first."""
  letters = jnp.argmax(tokens[:, None] == jnp.asarray(IDS)[None], axis=1)
  held = jnp.arange(LENGTH) < length
  power = jnp.where(
    held, 4 ** jnp.maximum(length - 1 - jnp.arange(LENGTH), 0), 0
  )
  return (4**length - 1) // 3 + jnp.sum(letters * power)


def told(state):
  """Return what the proxy says of a state."""
  inner = state.inner
  return inner.problem.answer[place(inner.response, inner.length)]


def policy(seed: int):
  """Return logits of what follows a token, `[V, V]`, of letters alone."""
  logits = np.full((WORDS.vocab_size,) * 2, -1e9, np.float32)
  rng = np.random.default_rng(seed)
  logits[:, IDS] = 0.5 * rng.normal(size=(WORDS.vocab_size, 4))
  return logits


def chances(logits) -> np.ndarray:
  """Return the policy's probability of every text, `[256]`."""
  log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
  ids = np.concatenate(
    [np.full((len(TEXTS), 1), WORDS.id(":")), IDS[TEXTS]], axis=1
  )
  return np.exp(log_p[ids[:, :-1], ids[:, 1:]].sum(axis=1))


def true_reward(rng) -> np.ndarray:
  """Return the true reward of every text, `[256]`."""
  steps = [rng.normal(size=4**t).repeat(4 ** (LENGTH - t)) for t in range(1, 5)]
  return np.sum(steps, axis=0) / math.sqrt(LENGTH)


def of_beginnings(score: np.ndarray, p: np.ndarray) -> np.ndarray:
  """Return the mean of a score over the policy's ways on, `[341]`."""
  means = []
  for t in range(LENGTH + 1):
    groups = (p * score).reshape(4**t, -1).sum(1), p.reshape(4**t, -1).sum(1)
    means.append(groups[0] / groups[1])
  return np.concatenate(means).astype(np.float32)


def divergence(found: np.ndarray, p: np.ndarray) -> float:
  """Return KL(found || policy) in nats, of texts by their numbers."""
  counts = np.bincount(found, minlength=len(p))
  share = counts[counts > 0] / len(found)
  bias = (len(share) - 1) / (2 * len(found))
  return max(0.0, float((share * np.log(share / p[counts > 0])).sum()) - bias)


def numbers(tokens) -> np.ndarray:
  """Return the numbers of texts from their tokens `[..., 4]`."""
  letters = np.argmax(np.asarray(tokens)[..., None] == IDS, axis=-1)
  return letters @ 4 ** np.arange(LENGTH)[::-1]


def best_of_n(params, problems, key, proxy, budgets):
  """Yield the budget and the numbers of the texts found."""
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  run = search.sampling(apply_fn, TASK, num_samples=max(budgets))
  paths = jax.jit(run)(params, key, problems).paths
  samples = numbers(paths.tokens[..., 0])
  for n in budgets:
    first = samples[:, :n]
    best = np.argmax(np.take_along_axis(proxy, first, axis=1), axis=1)
    yield n, first[np.arange(len(first)), best]


def beam(params, problems, key, proxy, budgets):
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  guidance = search.guidance.outcome(
    lambda path: told(path.state), of_partial=True, name="proxy"
  )
  for n in budgets:
    run = search.beam(
      apply_fn,
      TASK,
      width=max(1, n // K),
      num_candidates=min(K, n),
      guidance=guidance,
      permission="rules",
    )
    yield n, numbers(jax.jit(run)(params, key, problems).tokens)


def mcts(params, problems, key, proxy, budgets):
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  run = jax.jit(
    search.mcts(
      apply_fn,
      TASK,
      num_simulations=max(budgets),
      num_candidates=K,
      max_depth=LENGTH,
      permission="rules",
      policy=search.Gumbel(gumbel_scale=1.0),
      process_reward=told,
      discount=1.0,
    )
  )
  for n in budgets:
    found = run(params, key, problems, num_simulations=n)
    yield n, numbers(found.tokens)


METHODS = {"best_of_n": best_of_n, "beam": beam, "mcts": mcts}


def measure(noise: float, seeds: list[int], samples: int, budgets: list[int]):
  """Return a list of points for each method, of means over the worlds."""
  worlds, params = [], policy(0)
  p = chances(params)
  for seed in seeds:
    rng = np.random.default_rng(seed)
    true = true_reward(rng)
    proxy = true + noise * rng.standard_t(2, size=true.shape)
    worlds.append((true, proxy))
  scores = [of_beginnings(1 / (1 + np.exp(-x)), p) for _, x in worlds]
  answers = np.repeat(np.array(scores), samples, axis=0)
  problems = TASK.problems([":"] * len(answers), answers)
  proxies = np.repeat(np.array([x for _, x in worlds]), samples, axis=0)
  points = {}
  for name, method in METHODS.items():
    points[name] = []
    key = jax.random.key(0)
    for n, found in method(params, problems, key, proxies, budgets):
      groups = found.reshape(len(worlds), samples)
      counted = [divergence(group, p) for group in groups]
      kl = np.mean(counted)
      if name == "best_of_n":
        kl = math.log(n) - (n - 1) / n
      rewards = [
        (true[group].mean(), proxy[group].mean())
        for group, (true, proxy) in zip(groups, worlds, strict=True)
      ]
      earned, believed = np.mean(rewards, axis=0)
      points[name].append(
        {
          "budget": n,
          "kl": float(kl),
          "kl_counted": float(np.mean(counted)),
          "true": float(earned),
          "true_of_worlds": [float(true) for true, _ in rewards],
          "proxy": float(believed),
        }
      )
  return points


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--noise", default="0,1,4")
  parser.add_argument("--seeds", default="0,1,2,3")
  parser.add_argument("--samples", type=int, default=1024)
  parser.add_argument("--budgets", default="1,2,4,8,16,32,64")
  parser.add_argument("--json", type=pathlib.Path)
  parser.add_argument("--png", type=pathlib.Path)
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  seeds, budgets = (
    [int(x) for x in text.split(",")] for text in (args.seeds, args.budgets)
  )
  print(
    f"{len(seeds)} worlds, {args.samples} samples of each; "
    f"{jax.devices()[0].platform}, jax {jax.__version__}\n\n"
    "| noise | method | budget | √KL | proxy | true | true, of each world |\n"
    "|---|---|---|---|---|---|---|",
    flush=True,
  )
  began, curves = time.monotonic(), {}
  for noise in map(float, args.noise.split(",")):
    curves[noise] = measure(noise, seeds, args.samples, budgets)
    for name, points in curves[noise].items():
      for point in points:
        each = ", ".join(f"{x:.2f}" for x in point["true_of_worlds"])
        print(
          f"| {noise:g} | {name} | {point['budget']} "
          f"| {math.sqrt(point['kl']):.2f} | {point['proxy']:.2f} "
          f"| {point['true']:.2f} | {each} |",
          flush=True,
        )
  print(f"\n{time.monotonic() - began:.0f} s")
  if args.json:
    args.json.write_text(json.dumps({str(k): v for k, v in curves.items()}))
  if args.png:
    panels = {
      name: {f"noise {noise:g}": curves[noise][name] for noise in curves}
      for name in METHODS
    }
    print(f"picture: {plots.over_optimisation(panels, args.png)}")


if __name__ == "__main__":
  main()
