"""How a policy is measured while it is trained."""

import functools
from typing import Any

import jax
import numpy as np

from alphallm import config as config_lib
from alphallm import judges, measure, sharding
from alphallm.search import play


class Measurement:
  """Greedy decoding and tree search on a fixed set of held-out problems."""

  def __init__(self, run: config_lib.Run, mesh: jax.sharding.Mesh):
    self._rng_key = jax.random.key(run.seed)
    self._problems = measure.held_out(
      run.task, run.train.num_eval_problems, run.train.eval_level
    )
    self._batch_size, self._mesh = run.train.eval_batch_size, mesh
    n = run.train.eval_simulations
    searches = {
      "greedy": config_lib.GREEDY,
      f"mcts_{n}": config_lib.for_evaluation(judges.guided(run), n),
    }
    # All devices run a solver, each on its problems.
    self._solvers = {
      name: measure.spread(
        functools.partial(play.solve, run.model.apply, run.task, search),
        mesh,
        parts=run.parts(mesh),
      )
      for name, search in searches.items()
    }

  def programs(self, params: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return the programs by method, with such parameters and a first batch."""
    count = min(self._batch_size, jax.tree.leaves(self._problems)[0].shape[0])
    size = -(-count // self._mesh.size) * self._mesh.size
    problems, _ = next(measure.batches(self._problems, size))
    slots = sharding.slots(self._mesh)
    batch = jax.random.split(self._rng_key, size), problems
    like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=slots)
    return {
      name: (solve, (params, *jax.tree.map(like, batch)))
      for name, solve in self._solvers.items()
    }

  def __call__(self, params) -> dict[str, float]:
    """Return the share of problems solved, by method."""
    results = {}
    for name, solve in self._solvers.items():
      result = measure.run(
        solve,
        params,
        self._rng_key,
        self._problems,
        batch_size=self._batch_size,
        mesh=self._mesh,
      )
      results[name] = float(np.mean(result.solved))
    return results
