"""Over-optimisation of learned rewards: best-of-N by models of growing data.

  python benchmarks/over_optimisation_learned.py --workdir W
      [--kinds outcome,process] [--problems 10,40,160,640] [--steps 300]
      [--held_out 250] [--seed 0] [--json FILE] [--png FILE]

W is the workdir of a run of `alphallm.train`. Each reward model is trained on
solutions of so many problems and chooses the best of N solutions of held-out
ones, N from 1 to 64. What it says of its choice (the proxy) and whether that
solves the problem (the truth) are told against √KL, KL = log n − (n − 1) / n.
Both are expectations over all choices of N among 64 samples without
replacement. The turning point is the N with the highest truth.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import (  # noqa: E402
  compilation,
  plots,
  reward_models,
  rewards,
  train_reward,
)
from alphallm.rewards import training  # noqa: E402

SAMPLES = 64
BUDGETS = (1, 2, 4, 8, 16, 32, 64)


def chances(n: int) -> np.ndarray:
  """Return how likely each sample is the best of n drawn ones, worst first."""
  below = np.arange(SAMPLES)
  ways = np.array([math.comb(int(k), n - 1) for k in below], float)
  return ways / math.comb(SAMPLES, n)


def curve(proxy: np.ndarray, true: np.ndarray, rng) -> list[dict[str, float]]:
  """Return a point for each N, of proxies and truths `[problems, 64]`."""
  noise = rng.random(proxy.shape)  # of equals one by chance
  order = np.lexsort((noise, proxy), axis=1)
  proxy, true = (np.take_along_axis(x, order, axis=1) for x in (proxy, true))
  points = []
  for n in BUDGETS:
    solved = true @ chances(n)
    draws = rng.integers(0, len(solved), (1000, len(solved)))
    low, high = np.quantile(solved[draws].mean(axis=1), (0.025, 0.975))
    points.append(
      {
        "budget": n,
        "kl": math.log(n) - (n - 1) / n,
        "true": float(solved.mean()),
        "low": float(low),
        "high": float(high),
        "proxy": float((proxy @ chances(n)).mean()),
      }
    )
  return points


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--workdir", required=True, type=pathlib.Path)
  parser.add_argument("--kinds", default="outcome,process")
  parser.add_argument("--problems", default="10,40,160,640")
  parser.add_argument("--steps", type=int, default=300)
  parser.add_argument("--held_out", type=int, default=250)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--json", type=pathlib.Path)
  parser.add_argument("--png", type=pathlib.Path)
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  run, policy = reward_models.policy_of(args.workdir)
  samples, _ = train_reward.held_out(
    run, policy, args.held_out, SAMPLES, rules_propose=True
  )
  true = samples.solved.reshape(-1, SAMPLES).astype(float)
  value = rewards.model.reward(run.model.apply, policy)
  panels = {"the policy's value head": {"value": value}}
  for kind in args.kinds.split(","):
    title = f"{kind} model"
    panels[title] = {}
    for count in map(int, args.problems.split(",")):
      config = reward_models.RewardConfig(
        kind=kind,
        seed=args.seed,
        num_problems=count,
        rules_propose=True,
        fit=training.FitConfig(num_steps=args.steps),
      )
      params, _ = reward_models.learn(config, run, policy)
      panels[title][f"{count} problems"] = reward_models.reward_of(
        config, run, params, policy
      )
  rng = np.random.default_rng(args.seed)
  print(
    "\n| reward | trained on | N | √KL | proxy | true | 95% interval |\n"
    "|---|---|---|---|---|---|---|"
  )
  for title, proxies in panels.items():
    for name, reward in proxies.items():
      scores = train_reward.scores_of(reward, samples).outcome
      points = curve(scores.reshape(true.shape), true, rng)
      proxies[name] = points
      for point in points:
        print(
          f"| {title} | {name} | {point['budget']} | {point['kl'] ** 0.5:.2f} "
          f"| {point['proxy']:.3f} | {point['true']:.1%} "
          f"| {point['low']:.1%} to {point['high']:.1%} |"
        )
  print("\nthe truth turns at:")
  for title, proxies in panels.items():
    for name, points in proxies.items():
      best = max(points, key=lambda point: point["true"])
      last = points[-1]
      print(
        f"  {title}, {name}: N = {best['budget']}, {best['true']:.1%}"
        + (
          f"; {last['true']:.1%} at {last['budget']}"
          if best is not last
          else ", the largest tried: it does not turn"
        )
      )
  if args.json:
    args.json.write_text(json.dumps(panels, indent=1))
  if args.png:
    print(f"picture: {plots.over_optimisation(panels, args.png)}")


if __name__ == "__main__":
  main()
