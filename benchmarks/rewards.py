"""Rewards side by side, on solutions of one policy that still errs.

  python benchmarks/rewards.py --workdir W [--problems 500] [--samples 8]
      [--held_out 250] [--steps 400] [--seed 0] [--models NAME,...]
      [--no-augment] [--json FILE]

W is the workdir of a run of `alphallm.train`, of countdown or 24, whose solver
tells which steps are right. Where the policy writes an illegal step a random
legal one stands in, for the rules tell illegal ones without a model. Every
model is trained on solutions of the same problems and judged by the same
held-out ones; where that is possible it is shown each state under random
symmetries (not with `--no-augment`). Two tables: how well each reward ranks
whole solutions and steps, and what best-of-16 solves by it.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from alphallm import (  # noqa: E402
  compilation,
  measure,
  reward_data,
  reward_models,
  rewards,
  train_reward,
)
from alphallm.rewards import training  # noqa: E402

_NUM_SAMPLES = 16  # of best-of-N

# By name: kind and labels.
_MODELS = {
  "process by rollouts": ("process", "soft"),
  "process by rollouts (hard)": ("process", "hard"),
  "process by halving": ("process", "omega"),
  "process by trees": ("process", "tree"),
  "outcome": ("outcome", "soft"),
  "Bradley-Terry": ("preference", "soft"),
  "PPM": ("pairwise", "soft"),
  "implicit (DPO)": ("implicit", "soft"),
  "expert (IQ-Learn)": ("expert", "soft"),
}


def chosen(scores: np.ndarray, num_samples: int) -> np.ndarray:
  """Return the row of the best solution of each problem, of equals one."""
  best = np.argmax(scores.reshape(-1, num_samples), axis=1)
  return best + num_samples * np.arange(len(best))


def voted(samples: reward_data.Samples, num_samples: int) -> np.ndarray:
  """Return the row of the answer that most legal samples give, by problem.

  An answer is the text of the last state.
  """
  solution = samples.solution
  last = solution.num_steps
  rows = np.arange(len(last))
  resets = solution.contexts.shape[1] > 1
  texts = solution.contexts[rows, last if resets else 0]
  illegal = np.any(solution.is_step & ~solution.legal, axis=1)
  counts = np.zeros(len(last))
  for group in rows.reshape(-1, num_samples):
    for row in group:
      same = (texts[group] == texts[row]).all(axis=1) & ~illegal[group]
      counts[row] = -1 if illegal[row] else same.sum()
  return chosen(counts, num_samples)


def shares(solved: np.ndarray) -> dict[str, float]:
  low, high = measure.interval(int(solved.sum()), len(solved))
  return {"solved": float(solved.mean()), "low": low, "high": high}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--workdir", required=True, type=pathlib.Path)
  parser.add_argument("--problems", type=int, default=500)
  parser.add_argument("--samples", type=int, default=8)
  parser.add_argument("--held_out", type=int, default=250)
  parser.add_argument("--steps", type=int, default=400)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument(
    "--augment", action=argparse.BooleanOptionalAction, default=True
  )
  parser.add_argument("--models", default=",".join(_MODELS))
  parser.add_argument("--json", help="where the figures go")
  args = parser.parse_args()
  compilation.enable_compilation_cache()
  run, policy = reward_models.policy_of(args.workdir)
  samples, right = train_reward.held_out(
    run, policy, args.held_out, _NUM_SAMPLES, rules_propose=True
  )
  if right is None:
    parser.error(f"{run.task.name} has no solver that tells what is right")
  solved = samples.solved
  print(
    f"held out: {args.held_out} problems, {len(solved)} solutions, "
    f"{solved.mean():.1%} right",
    flush=True,
  )
  judged = {
    "token confidence": rewards.model.confidence(run.model.apply, policy),
    # The policy's own value of the last state.
    "value head": rewards.model.reward(run.model.apply, policy),
  }
  rows = {}
  for name in [*judged, *args.models.split(",")]:
    began, figures = time.monotonic(), {}
    if name in judged:
      reward = judged[name]
    else:
      kind, labels = _MODELS[name]
      config = reward_models.RewardConfig(
        kind=kind,
        labels=labels,
        seed=args.seed,
        # Right solutions alone are a few of all.
        num_problems=args.problems * (3 if kind == "expert" else 1),
        num_samples=args.samples,
        rules_propose=True,
        fit=training.FitConfig(
          num_steps=args.steps,
          # Of whole solutions a step takes as long as of many states.
          batch_size=32 if kind in ("implicit", "expert") else 128,
          augment=args.augment and kind not in ("implicit", "expert"),
        ),
      )
      params, figures = reward_models.learn(config, run, policy)
      reward = reward_models.reward_of(config, run, params, policy)
    scores = train_reward.scores_of(reward, samples)
    figures |= train_reward.figures_of(scores, samples, right)
    figures["seconds"] = time.monotonic() - began
    figures["best_of_16"] = shares(solved[chosen(scores.outcome, _NUM_SAMPLES)])
    rows[name] = figures
    print(f"{name}: {figures}", flush=True)
    if args.json:
      pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))
  first = solved.reshape(-1, _NUM_SAMPLES)
  others = {
    "one sample": first[:, 0],
    "vote": solved[voted(samples, _NUM_SAMPLES)],
    "any of the 16": first.any(axis=1),
  }
  print(
    "\n| reward | AUC, solutions | prefixes | under way | first error "
    "| label tokens |\n|---|---|---|---|---|---|"
  )
  for name, row in rows.items():
    tokens = row.get("label_tokens")
    print(
      f"| {name} | {row['auc']:.3f} | {row['auc_prefixes']:.3f} "
      f"| {row['auc_steps']:.3f} | {row['first_error']:.1%} "
      f"| {'' if tokens is None else f'{tokens:,}'} |"
    )
  print("\n| best of 16 by | solved | 95% interval |\n|---|---|---|")
  best = {name: row["best_of_16"] for name, row in rows.items()}
  best |= {name: shares(x) for name, x in others.items()}
  for name, row in best.items():
    print(
      f"| {name} | {row['solved']:.1%} | {row['low']:.1%} to "
      f"{row['high']:.1%} |"
    )
  if args.json:
    figures = {"models": rows, "best_of_16": best, "options": vars(args)}
    pathlib.Path(args.json).write_text(
      json.dumps(figures, indent=1, default=str)
    )


if __name__ == "__main__":
  main()
