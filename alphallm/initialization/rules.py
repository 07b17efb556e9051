"""Random legal steps as documents: a policy that knows the rules, no plan.

Of enough attempts at a problem some solve it; these are documents, too, of any
task whose rules propose steps.
"""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import types
from alphallm.initialization import documents
from alphallm.tasks import base

_BLOCK = 64  # problems drawn at a time

# States, the step taken in each, and its length.
Turns = tuple[types.State, chex.Array, chex.Array]


@dataclasses.dataclass(frozen=True)
class SolutionsConfig:
  """How solutions are found."""

  attempts: int = 64  # random episodes of each problem


class RandomSteps:
  """A source of random play, of any task that proposes steps.

  Where contexts append, a document is a whole episode, and the steps in it are
  learnt; where they reset, it is one state and a step. States that equal a
  held-out problem of the split that is not asked for are left out.
  """

  def __init__(
    self,
    task: base.Task,
    split: base.Split,
    seed: int,
    solutions: SolutionsConfig | None = None,
  ):
    """Prepare.

    Args:
      task: the environment.
      split: of the problems.
      seed: of all that is drawn.
      solutions: of some attempts at each problem the shortest that solves it is
        shown, and a problem that none solves gives no document; `None`: one
        episode of each, whatever comes of it.
    """
    self._task, self._split, self._seed = task, split, seed
    play = lambda key, problem: _play(task, key, problem)[1]
    if solutions is not None:
      play = functools.partial(_shortest, task, solutions.attempts)
    self._play = jax.jit(jax.vmap(play))
    self._block = functools.lru_cache(maxsize=4)(self._draw)

  def read(self, index: int) -> documents.Document | None:
    appends = self._task.context == "append"
    per_problem = 1 if appends else self._task.max_steps
    problem, turn = divmod(index, per_problem)
    turns = jax.tree.map(
      lambda x: x[problem % _BLOCK], self._block(problem // _BLOCK)
    )
    chosen = range(self._task.max_steps) if appends else [turn]
    parts = []
    for t in chosen:
      state, step, length = jax.tree.map(lambda x, t=t: x[t], turns)
      hidden = self._split == "train" and state.held_out
      if not length or hidden:
        break
      parts += [
        (state.observation[: state.observation_length], False),
        (step[:length], True),
      ]
    return documents.of(*parts) if parts else None

  def _draw(self, block: int) -> Any:
    """Play a block of problems; NumPy arrays `[problems, D, ...]`."""
    rng = np.random.default_rng([self._seed, block])
    problems = self._task.sample_numpy(rng, _BLOCK, self._split)
    keys = jax.random.split(jax.random.key(rng.integers(2**31)), _BLOCK)
    return jax.device_get(self._play(keys, problems))


def _play(
  task: base.Task, rng_key: chex.PRNGKey, problem: Any
) -> tuple[types.State, Turns]:
  """Return the end of a random episode, and its turns, `[D]`.

  After its end steps have no tokens.
  """

  def turn(state, key):
    step, length = task.random_step(key, state)
    length = jnp.where(state.terminated, 0, length)
    after = task.step(state, step, length)
    after = jax.tree.map(
      lambda old, new: jnp.where(length > 0, new, old), state, after
    )
    return after, (state.replace(inner=()), step, length)

  keys = jax.random.split(rng_key, task.max_steps)
  return jax.lax.scan(turn, task.init(problem), keys)


def _shortest(
  task: base.Task, attempts: int, rng_key: chex.PRNGKey, problem: Any
) -> Turns:
  """Return the shortest of random episodes that solve; see `_play`.

  Where none does, no step has tokens.
  """
  keys = jax.random.split(rng_key, attempts)
  play = jax.vmap(lambda key: _play(task, key, problem))
  end, (states, steps, lengths) = play(keys)
  solved = end.terminated & (end.reward >= 1)
  count = jnp.where(solved, jnp.sum(lengths > 0, axis=1), task.max_steps + 1)
  state, step, length = jax.tree.map(
    lambda x: x[jnp.argmin(count)], (states, steps, lengths)
  )
  return state, step, jnp.where(jnp.any(solved), length, 0)
