"""What a reward is: solutions in, a score for each step and the whole out."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.tasks import base


@chex.dataclass(frozen=True)
class Solution:
  """Problems with the steps that were written for them, `[B, ...]`.

  State t is the problem and its first t steps; it is the first `ends[t]` tokens
  of its context. As in an `Episode`, R is 1 where one context holds all states
  and D + 1 where each has its own.

  Attributes:
    problem: of the task, which only the environment reads.
    contexts: `[R, C]` int32, the text, padded.
    ends: `[D + 1]` int32, where each state ends; 0 where there is none.
    steps: `[D, T]` int32, the steps.
    step_lengths: `[D]` int32, tokens of each.
    num_steps: `[]` int32.
    legal: `[D]` bool, which of them the rules allow; an illegal one is the last
      and leaves the text of a state that is its context as it was.
  """

  problem: Any
  contexts: chex.Array
  ends: chex.Array
  steps: chex.Array
  step_lengths: chex.Array
  num_steps: chex.Array
  legal: chex.Array

  @classmethod
  def of(cls, problem: Any, episode: types.Episode) -> "Solution":
    """Return the solutions of B episodes, without what came of them."""
    return cls(
      problem=problem,
      contexts=episode.contexts,
      ends=episode.ends,
      steps=episode.steps[:, :-1],
      step_lengths=episode.step_lengths[:, :-1],
      num_steps=episode.num_steps,
      legal=episode.legal[:, :-1],
    )

  @property
  def is_step(self) -> chex.Array:
    """Which steps are there, `[B, D]` bool."""
    places = jnp.arange(self.step_lengths.shape[-1])
    return places[None] < self.num_steps[:, None]

  @property
  def is_token(self) -> chex.Array:
    """Which tokens of steps are there, `[B, D, T]` bool."""
    held = jnp.where(self.is_step, self.step_lengths, 0)
    return jnp.arange(self.steps.shape[-1])[None, None] < held[..., None]


@chex.dataclass(frozen=True)
class Scores:
  """What a reward says; higher is better.

  Attributes:
    steps: `[B, D]` float32, of each step; 0 where there is none.
    outcome: `[B]` float32, of the whole.
  """

  steps: chex.Array
  outcome: chex.Array


# Pure `jnp`, unless it says otherwise.
Reward = Callable[[Solution], Scores]


def environment(task: base.Task) -> Reward:
  """Return the true reward: the task plays the steps again.

  A step scores what the environment pays for it, the whole their sum.
  """

  def score(solution: Solution) -> Scores:
    paid = replay(
      task,
      solution.problem,
      solution.steps,
      solution.step_lengths,
      solution.num_steps,
    )
    return Scores(steps=paid, outcome=jnp.sum(paid, axis=-1))

  return score


def replay(
  task: base.Task,
  problem: Any,
  steps: chex.Array,
  step_lengths: chex.Array,
  num_steps: chex.Array,
) -> chex.Array:
  """Play steps again; nothing is paid for those behind the end of an episode.

  Args:
    task: the environment.
    problem: `[B, ...]`.
    steps: `[B, D, T]` int32.
    step_lengths: `[B, D]` int32.
    num_steps: `[B]` int32.

  Returns:
    The reward of each step, `[B, D]` float32.
  """

  def play(state, step):
    tokens, length, is_step = step
    is_step &= ~state.terminated
    after = task.step(state, tokens, length)
    state = jax.tree.map(
      lambda new, old: jnp.where(is_step, new, old), after, state
    )
    return state, jnp.where(is_step, after.reward, 0.0)

  def one(problem, steps, lengths, count):
    is_step = jnp.arange(steps.shape[0]) < count
    begin = task.init(problem)
    return jax.lax.scan(play, begin, (steps, lengths, is_step))[1]

  return jax.vmap(one)(problem, steps, step_lengths, num_steps)
