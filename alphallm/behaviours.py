"""What a policy does in its thoughts, whether it helps, and how varied it is.

python -m alphallm.behaviours --config configs/countdown_traces.py --workdir W
    [--num_held_out 256] [--num_samples 8]

Of a run of `alphallm.finetune` or `alphallm.train`, or of a round of
`alphallm.journey` (--workdir W/round_1), on held-out problems. Of a
policy that writes thoughts: how often it shows each of the six behaviours, how
often it succeeds with and without, and when the mark is never written. Of any:
how many samples solve, and how many distinct solutions they hold.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from alphallm import config as config_lib
from alphallm import (
  measure,
  metrics,
  program,
  rounds,
  runs,
  search,
  tasks,
  tuning,
)
from alphallm.initialization import behaviours, diversity

_NUM_PROBLEMS = flags.DEFINE_integer(
  "num_held_out", 256, "Held-out problems to draw.", lower_bound=1
)
_NUM_SAMPLES = flags.DEFINE_integer(
  "num_samples", 8, "Samples of each problem.", lower_bound=2
)


class Sampler:
  """Samples of a policy, with any tokens forbidden, by one compiled program."""

  def __init__(self, run: Any, problems: Any, num_samples: int):
    """Make a sampler.

    Args:
      run: has a `task`, a `model` and a `seed`.
      problems: `[n, ...]` of the task.
      num_samples: N, of each problem.
    """
    self._task = tuning.whole(run)
    self._problems, self._seed = problems, run.seed
    self._solve = jax.jit(
      search.sampling(
        behaviours.with_bias(run.model.apply),
        self._task,
        num_samples=num_samples,
      )
    )

  def __call__(self, params: Any, without: Sequence[int] = ()) -> Any:
    """Return the paths, `[n, N, ...]`; `without` are tokens never written."""
    bias = behaviours.mask(self._task.vocab_size, without)
    result = measure.run(
      self._solve,
      (params, bias),
      jax.random.key(self._seed),
      self._problems,
      batch_size=64,
    )
    return result.paths

  def texts(self, paths: Any) -> list[str]:
    """Return all samples in a row, as text without its end."""
    inner, decode = paths.state.inner, self._task.tokenizer.decode
    rows = inner.response.reshape(-1, inner.response.shape[-1])
    return [
      decode(row[:length])
      for row, length in zip(rows, inner.length.ravel(), strict=True)
    ]

  def solutions(self, paths: Any) -> list[list[Any]]:
    """Return the name of each sample's solution, None if it solves nothing.

    Of thoughts two solutions are the same if they pass the same states, of
    other texts if their steps do not differ.
    """
    if isinstance(self._task, tasks.Thoughts):
      answer = jax.jit(jax.vmap(jax.vmap(self._task.answer)))
      names = np.asarray(answer(paths.state))[..., None]
    else:
      names = paths.tokens.reshape(*paths.tokens.shape[:2], -1)
    return [
      [tuple(name) if right else None for name, right in zip(*row, strict=True)]
      for row in zip(names.tolist(), paths.solved, strict=True)
    ]


def main(argv) -> None:
  del argv
  if runs.tree_path():
    raise config_lib.UserError("--tree: samples are not drawn as trees")
  workdir = pathlib.Path(program.WORKDIR.value)
  config = program.CONFIG.value
  if "journey" in config:  # of one of its rounds, which are alike
    config = rounds.make(config).round_config(workdir.parent, 1)
  make = tuning.make if "tuning" in config else config_lib.make_run
  run = make(config, workdir)
  params, step = runs.load(run, workdir)
  problems = measure.held_out(run.task, _NUM_PROBLEMS.value)
  sampler = Sampler(run, problems, _NUM_SAMPLES.value)
  print(
    f"step {step} of {workdir}: {_NUM_SAMPLES.value} samples of each of "
    f"{_NUM_PROBLEMS.value} held-out problems",
    flush=True,
  )
  paths = sampler(params)
  figures: dict[str, Any] = {
    "sampled_solved": float(paths.solved.mean()),
    "num_samples": _NUM_SAMPLES.value,
    "num_problems": _NUM_PROBLEMS.value,
  }
  print("\n" + _varied(paths.solved, sampler.solutions(paths), figures))
  if isinstance(run.task, tasks.Thoughts):
    solved = paths.solved.ravel()
    shown = behaviours.usage(sampler.texts(paths), solved)
    masked = {
      name: sampler(params, without=[mark]).solved.ravel()
      for name, mark in run.task.mark_of.items()
    }
    print("\n" + _used(shown, masked, figures))
  path = metrics.write_summary(
    workdir,
    figures,
    program="behaviours",
    config=config.to_dict(),
    seeds=[run.seed],
  )
  print(f"\nfigures: {path}")


def _varied(solved: np.ndarray, solutions, figures: dict[str, Any]) -> str:
  """Return diversity against success as a table; add to the figures."""
  total = solved.shape[1]
  lines = [
    "| samples | solved by one of them | distinct solutions |",
    "|---|---|---|",
  ]
  right = solved.sum(axis=1)
  for n in sorted({2**i for i in range(total.bit_length())} | {total}):
    if n <= total:
      passed = measure.pass_at(n, total, right)
      distinct = diversity.distinct_at(n, solutions)
      figures[f"pass_at_{n}"], figures[f"distinct_at_{n}"] = passed, distinct
      lines.append(f"| {n} | {passed:.1%} | {distinct:.2f} |")
  return "\n".join(lines)


def _used(
  shown: dict[str, behaviours.Usage],
  masked: dict[str, np.ndarray],
  figures: dict[str, Any],
) -> str:
  """Return the behaviours as a table; add to the figures."""
  lines = [
    "| behaviour | thoughts with it | times | solved with | without | mark "
    "forbidden |",
    "|---|---|---|---|---|---|",
  ]
  for name, use in shown.items():
    forbidden = masked[name]
    cells = [
      _share(*use.success(True)),
      _share(*use.success(False)),
      _share(int(forbidden.sum()), len(forbidden)),
    ]
    lines.append(
      f"| {name} | {use.share:.1%} | {use.times:.2f} | {' | '.join(cells)} |"
    )
    figures[f"{name}_share"], figures[f"{name}_times"] = use.share, use.times
    figures[f"{name}_forbidden_solved"] = float(forbidden.mean())
    for with_it in (True, False):
      word = "with" if with_it else "without"
      figures[f"solved_{word}_{name}"] = list(use.success(with_it))
  return "\n".join(lines)


def _share(solved: int, total: int) -> str:
  if not total:
    return "–"
  low, high = measure.interval(solved, total)
  return f"{solved / total:.1%} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
  program.run(main)
