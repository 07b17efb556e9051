"""Train a reward model on solutions that a trained policy samples.

python -m alphallm.train_reward --config configs/rewards/process.py --workdir W
    [--config.labels=tree]

W is the workdir of the policy's run. The model goes to W/rewards/NAME, where
`reward_models.load` finds it. Printed are its figures on held-out problems.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np

from alphallm import (
  checkpoint,
  judges,
  measure,
  methods,
  metrics,
  program,
  reward_data,
  reward_models,
  reward_trees,
  rewards,
)
from alphallm import config as config_lib
from alphallm.models import transformer
from alphallm.rewards import examples, ranking


def scores_of(
  reward: rewards.Reward, samples: reward_data.Samples
) -> rewards.Scores:
  """Return the scores of solutions, `[n, ...]`."""
  return measure.run(
    jax.jit(lambda _, keys, solution: reward(solution)),
    None,
    jax.random.key(0),
    samples.solution.replace(problem=()),
  )


def figures_of(
  scores: rewards.Scores,
  samples: reward_data.Samples,
  right: np.ndarray | None,
) -> dict[str, float]:
  """Return how good scores of held-out solutions are.

  Args:
    scores: to be judged.
    samples: `[n, ...]`.
    right: `[n, D]` bool, of their steps, as of `reward_data.truth`.

  Returns:
    `auc`, of whole solutions, and `auc_legal`, of those that the rules cannot
    tell to be wrong; `accuracy` and `calibration_error`, if scores lie in
    [0, 1]; if `right` is known `auc_steps`, of legal steps that do not end
    their solution, and `first_error`: see `ranking`, by the threshold that
    tells most steps rightly; and `auc_prefixes`, of all legal steps.

  Raises:
    ValueError: if all are right, or all are wrong.
  """
  solution, solved = samples.solution, samples.solved
  is_legal = ~np.any(solution.is_step & ~solution.legal, axis=1)
  figures = {
    "auc": ranking.auc(scores.outcome, solved),
    "auc_legal": ranking.auc(scores.outcome[is_legal], solved[is_legal]),
  }
  if scores.outcome.min() >= 0 and scores.outcome.max() <= 1:
    said = scores.outcome > 0.5
    figures["accuracy"] = float(np.mean(said == solved))
    error, _ = measure.calibration(scores.outcome, solved)
    figures["calibration_error"] = error
  if right is not None:
    places = np.arange(right.shape[1])[None]
    legal = np.asarray(solution.legal & solution.is_step)
    under_way = legal & (places < solution.num_steps[:, None] - 1)
    figures["auc_steps"] = ranking.auc(
      scores.steps[under_way], right[under_way]
    )
    figures["auc_prefixes"] = ranking.auc(scores.steps[legal], right[legal])
    wrong = ~solved & (solution.num_steps > 0)
    least = ranking.threshold(scores.steps[legal], right[legal])
    figures["first_error"] = ranking.found_first_error(
      scores.steps[wrong],
      solution.num_steps[wrong],
      np.argmin(right[wrong], axis=1),
      least,
    )
  return figures


def foreseen(
  config: reward_models.RewardConfig,
  run: config_lib.Run,
  policy: Any,
  params: Any,
  samples: reward_data.Samples,
) -> dict[str, float]:
  """Return how well a world model foresees what steps lead to.

  Args:
    config: of the model.
    run: of the policy.
    policy: its parameters.
    params: of the model.
    samples: `[n, ...]`, held out.

  Returns:
    Of the samples `state_U`, the share of states that are foreseen to the last
    token, U legal steps ahead and from nothing but what was foreseen before. Of
    the candidates of the nodes of search trees of held-out problems `legal`,
    `illegal`, `reward` and `no_reward`, the shares of such steps that are taken
    for what they are.
  """
  model = reward_models.world_of(run)
  table = transformer.embeddings(policy)

  def agree(params, keys, walks):
    del keys
    seen = rewards.world.unrolled(
      model,
      params,
      table,
      (walks.contexts[:, 0], walks.ends[:, 0]),
      (walks.steps, walks.step_lengths),
    )
    return rewards.world.agreement(seen, walks)

  held = lambda walks: measure.run(
    jax.jit(agree), params, jax.random.key(0), walks
  )
  depth = run.task.max_steps
  walks = examples.of_walks(
    samples.solution, samples.solved, samples.truncated, depth
  )
  branches = reward_trees.branches(
    run,
    policy,
    jax.random.key(run.seed + 2),
    measure.held_out(run.task, config.num_held_out),
    config.num_simulations,
    1,
  )
  ahead, one = held(walks), held(branches)
  legal, earns = branches.legal, branches.rewards >= 1
  shares = {
    f"state_{u}": (ahead["state"][:, u - 1], walks.legal[:, u - 1])
    for u in (2**i for i in range(depth.bit_length()))
  } | {
    "legal": (one["legal"], legal),
    "illegal": (one["legal"], ~legal),
    "reward": (one["reward"], earns),
    "no_reward": (one["reward"], ~earns),
  }
  return {
    name: float(np.mean(right[where]))
    for name, (right, where) in shares.items()
    if where.any()
  }


def held_out(
  run: config_lib.Run,
  policy: Any,
  count: int,
  num_samples: int,
  *,
  rules_propose: bool = False,
) -> tuple[reward_data.Samples, np.ndarray | None]:
  """Return solutions of held-out problems, and the truth of their steps."""
  problems = measure.held_out(run.task, count)
  samples = reward_data.sample(
    run,
    policy,
    jax.random.key(run.seed + 1),
    problems,
    num_samples,
    rules_propose=rules_propose,
  )
  return samples, reward_data.truth(run.task, samples)


def train(
  config: reward_models.RewardConfig, workdir: pathlib.Path, name: str
) -> dict[str, Any]:
  """Train a model into W/rewards/NAME; return figures of what it has learnt.

  Raises:
    UserError: for a workdir without a policy, or with such a model already; or
      if there is nothing to learn from.
  """
  policy_run, policy = reward_models.policy_of(workdir)
  folder = workdir / "rewards" / name
  if checkpoint.any_in(folder / "checkpoints"):
    raise config_lib.UserError(
      f"{folder} holds a reward model already; give another config.name, or "
      "delete it"
    )
  print(f"{config.kind}: {reward_models.KINDS[config.kind]}", flush=True)
  # Trees that are learned from are searched as the run searches.
  policy_run = judges.guided(policy_run)
  params, figures = reward_models.learn(config, policy_run, policy)
  folder.mkdir(parents=True, exist_ok=True)
  settings = dataclasses.asdict(config)
  (folder / "config.json").write_text(json.dumps(settings, indent=1))
  with checkpoint.Checkpointer(folder / "checkpoints") as checkpointer:
    checkpointer.save(config.fit.num_steps, {"params": params})
  return figures


def judged(workdir: pathlib.Path, name: str) -> dict[str, float]:
  """Return how good a trained model is on held-out problems.

  Raises:
    UserError: if there is nothing to measure by.
  """
  policy_run, policy = reward_models.policy_of(workdir)
  config, params = reward_models.load(workdir, name)
  samples, right = held_out(
    policy_run,
    policy,
    config.num_held_out,
    config.num_samples,
    rules_propose=config.rules_propose,
  )
  reward = reward_models.reward_of(config, policy_run, params, policy)
  ahead = {}
  if config.kind == "world":
    ahead = foreseen(config, policy_run, policy, params, samples)
  try:
    return ahead | figures_of(scores_of(reward, samples), samples, right)
  except ValueError as error:
    raise config_lib.UserError(
      f"{workdir}/rewards/{name} is saved, but not measured: {error}, of "
      f"config.num_held_out={config.num_held_out} problems"
    ) from error


def run(
  config: reward_models.RewardConfig,
  workdir: pathlib.Path,
  name: str,
  settings: dict[str, Any],
) -> config_lib.UserError | None:
  """Train a model, measure it, and write its summary; see `train`.

  Args:
    config: of the model.
    workdir: of the policy's run.
    name: of the model.
    settings: of which the config was made.

  Returns:
    Why it could not be measured, if so.
  """
  figures, unmeasured = train(config, workdir, name), None
  try:
    figures |= judged(workdir, name)
  except config_lib.UserError as error:
    unmeasured = error
  folder = workdir / "rewards" / name
  metrics.write_summary(
    folder,
    figures,
    program="train_reward",
    config=settings,
    seeds=[config.seed],
  )
  for key, value in figures.items():
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
    print(f"  {key}: {text}")
  print(f"the model and its figures are in {folder}", flush=True)
  return unmeasured


def main(argv) -> None:
  del argv
  settings = program.CONFIG.value.to_dict()
  name = settings.pop("name", None)
  if not isinstance(name, str) or not name.isidentifier():
    raise config_lib.UserError(
      f"config.name={name!r} is no name: letters, digits and _"
    )
  if name in methods.GUIDANCES:
    raise config_lib.UserError(
      f"config.name={name!r} is the name of another guidance"
    )
  config = reward_models.make_config(settings)
  workdir = pathlib.Path(program.WORKDIR.value)
  unmeasured = run(config, workdir, name, program.CONFIG.value.to_dict())
  if unmeasured:
    raise unmeasured


if __name__ == "__main__":
  program.run(main)
