"""Problems to a trained run: each move is told as soon as it is found."""

from collections.abc import Callable, Iterable
from typing import Any

import chex
import jax
import numpy as np

from alphallm import measure, types
from alphallm.search import play, tree_search
from alphallm.tasks import base


def solve(
  run: Callable[..., Iterable[tuple[tree_search.Move, play.Trace]]],
  params: Any,
  task: base.Task,
  problems: Any,
  rng_key: chex.PRNGKey,
  *,
  first: int = 0,
  batch_size: int = 8,
) -> list[dict[str, Any]]:
  """Solve problems; print each move as soon as it is found.

  Args:
    run: the search, of `alphallm.search.moves`.
    params: of the network.
    task: where the problems come from.
    problems: `[n, ...]`.
    rng_key: folded with each problem's number, as by `measure.run` (consumed).
    first: the number of the first of them.
    batch_size: problems that are searched side by side.

  Returns:
    Of each problem, in words, its `problem` and `steps`, the `values` of the
    states before each move, whether it is `solved`, and its `cost`.
  """
  found: list[dict[str, Any]] = []
  size = min(batch_size, jax.tree.leaves(problems)[0].shape[0])
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  for batch, count in measure.batches(problems, size):
    numbers = first + len(found) + np.arange(size)
    keys = fold(rng_key, numbers)
    found += _solve(run, params, task, batch, keys, numbers[:count])
  return found


def _solve(run, params, task, problems, rng_keys, numbers):
  """Solve a batch, of which the first are told, by their `numbers`."""
  found = []
  for row, number in enumerate(numbers):
    problem = jax.tree.map(lambda x, row=row: x[row], problems)
    found.append({"problem": task.describe(problem), "steps": [], "values": []})
    print(f"[{number}] {found[-1]['problem']}", flush=True)
  state = jax.vmap(task.init)(problems)
  over, cost = np.asarray(state.terminated), types.Cost.zeros(len(rng_keys))
  solved = over & (np.asarray(state.reward) >= 1)
  for move, trace in run(params, rng_keys, problems):
    cost = cost + move.cost
    values, played = np.asarray(move.value), jax.device_get(trace.episode)
    for row, told in enumerate(found):
      if over[row]:
        continue
      texts = [
        task.tokenizer.decode(played.steps[row, i, :length]).strip()
        for i, length in enumerate(played.step_lengths[row])
      ][len(told["steps"]) : played.num_steps[row]]
      told["steps"] += texts
      told["values"].append(float(values[row]))
      line = f"{values[row]:.2f}  [{numbers[row]}] {' '.join(texts)}"
      print(f"  {line}", flush=True)
    over, solved = np.asarray(trace.state.terminated), played.solved
  for row, told in enumerate(found):
    told["solved"] = bool(solved[row])
    told["cost"] = {name: int(spent[row]) for name, spent in cost.items()}
    verdict = "solved" if told["solved"] else "not solved"
    print(f"[{numbers[row]}] {verdict}, {told['cost']['nodes']} nodes")
  return found
