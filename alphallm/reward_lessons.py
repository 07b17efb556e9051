"""What each kind of reward model learns from, sampled and labelled."""

from typing import Any

import chex
import jax
import numpy as np

from alphallm import config as config_lib
from alphallm import consistency, reward_data, reward_trees
from alphallm.models import transformer, world_model
from alphallm.rewards import examples, training


def lesson(
  config: Any,
  run: config_lib.Run,
  policy: Any,
  world: world_model.WorldModel,
  problems: Any,
  sample_key: chex.PRNGKey,
  label_key: chex.PRNGKey,
  rng: np.random.Generator,
) -> tuple[training.Loss, Any, dict[str, Any]]:
  """Return the loss, the examples, and figures of how they came about.

  Args:
    config: `reward_models.RewardConfig`.
    run: of the policy.
    policy: its parameters.
    world: the model, if that is what learns.
    problems: `[n, ...]`, of the train split.
    sample_key: of the solutions (consumed).
    label_key: of the labels (consumed).
    rng: pairs solutions.

  Raises:
    UserError: if there is nothing to learn from.
  """
  apply_fn = run.model.apply
  if config.rules_propose:
    consistency.check_proposes(run.task, "config.rules_propose=True")
  if config.kind == "world":
    return _world(config, run, policy, world, problems, sample_key, label_key)
  if config.kind == "process" and config.labels == "tree":
    states, tokens = reward_trees.labelled(
      run,
      policy,
      label_key,
      problems,
      config.num_simulations,
      rules_propose=config.rules_propose,
    )
    count = int(states.mask.sum())
    print(f"{count:,} nodes of {config.num_problems} trees", flush=True)
    if not count:
      raise config_lib.UserError(
        "no node of a tree was visited often enough for a label; give more "
        "config.num_simulations"
      )
    return training.state_loss(apply_fn), states, {"label_tokens": tokens}
  samples = reward_data.sample(
    run,
    policy,
    sample_key,
    problems,
    config.num_samples,
    rules_propose=config.rules_propose,
  )
  solution, solved = samples.solution, samples.solved
  figures = _told(config, samples)
  try:
    if config.kind == "outcome":
      rows = examples.of_outcomes(solution, solved)
      return training.state_loss(apply_fn), rows, figures
    if config.kind == "expert":
      right = np.flatnonzero(solved)[: config.demonstrations]
      if not len(right):
        raise ValueError("no solution is right: there is nothing to imitate")
      rows = jax.tree.map(lambda x: x[right], solution)
      loss = training.expert_loss(
        apply_fn, config.fit.alpha, config.fit.discount
      )
      return loss, rows.replace(problem=()), figures
    if config.kind in ("preference", "implicit"):
      better, worse = examples.pairs(solution, solved, config.num_samples, rng)
      if config.kind == "preference":
        rows = examples.of_pairs(solution, better, worse)
        return training.sibling_loss(apply_fn), rows, figures
      solution = solution.replace(problem=())
      take = lambda places: jax.tree.map(lambda x: x[places], solution)
      rows = examples.Pairs(better=take(better), worse=take(worse))
      loss = training.implicit_loss(apply_fn, policy, config.fit.beta)
      return loss, rows, figures
    rollouts = reward_data.Rollouts(
      run, policy, label_key, rules_propose=config.rules_propose
    )
    if config.labels == "omega":
      labels = reward_data.by_halving(rollouts, samples, config.num_rollouts)
    elif config.labels in ("soft", "hard"):
      labels = reward_data.by_rollouts(
        rollouts,
        samples,
        config.num_rollouts,
        hard=config.labels == "hard",
      )
    else:
      raise ValueError(
        f"labels={config.labels!r} are not of a {config.kind} model"
      )
    figures["label_tokens"] = rollouts.tokens
    if config.kind == "pairwise":
      rows = examples.of_siblings(solution, labels, config.num_samples)
      return training.sibling_loss(apply_fn), rows, figures
    rows = examples.of_steps(solution, labels)
    return training.state_loss(apply_fn), rows, figures
  except ValueError as error:
    raise config_lib.UserError(str(error)) from error


def _world(config, run, policy, world, problems, sample_key, label_key):
  """Return what `lesson` does, of a world model."""
  sampled = []
  # Of illegal steps it is to learn, too.
  for propose in sorted({False, config.rules_propose}):
    samples = reward_data.sample(
      run,
      policy,
      jax.random.fold_in(sample_key, propose),
      problems,
      config.num_samples,
      rules_propose=propose,
    )
    sampled.append(samples)
  joined = lambda *rows: np.concatenate(rows)
  samples = jax.tree.map(joined, *sampled)
  figures = _told(config, samples)
  try:
    walks = examples.of_walks(
      samples.solution, samples.solved, samples.truncated, config.unroll
    )
  except ValueError as error:
    raise config_lib.UserError(str(error)) from error
  branches = reward_trees.branches(
    run,
    policy,
    label_key,
    problems,
    config.num_simulations,
    config.unroll,
    rules_propose=config.rules_propose,
  )
  loss = training.world_loss(world, transformer.embeddings(policy))
  rows = jax.tree.map(joined, walks, branches)
  return loss, rows, figures | {"branches": len(branches.ends)}


def _told(config, samples) -> dict[str, Any]:
  """Print what was sampled, and return figures of it."""
  solved = samples.solved
  print(
    f"{len(solved):,} solutions of {config.num_problems} problems, "
    f"{solved.mean():.1%} of them right",
    flush=True,
  )
  return {
    "sample_tokens": int(samples.tokens.sum()),
    "solved_samples": float(solved.mean()),
  }
