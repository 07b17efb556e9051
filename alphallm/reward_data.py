"""Solutions and labels from a policy: samples, rollouts, exact truth."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import config as config_lib
from alphallm import measure, rewards, types
from alphallm.rewards import labels
from alphallm.search import play, tree_search
from alphallm.tasks import arithmetic, base

_BATCH = 256  # rows at a time


@chex.dataclass(frozen=True)
class Samples:
  """Solutions that a policy wrote, those of a problem in a row, `[n, ...]`.

  Attributes:
    solution: the solutions.
    solved: `[]` bool, whether the checker says that it is right.
    truncated: `[]` bool, whether it is over for the cap of steps alone.
    value: `[D + 1]` float32, the policy's own value of each state.
    tokens: `[]` int32, what the network passed for it.
  """

  solution: rewards.Solution
  solved: chex.Array
  truncated: chex.Array
  value: chex.Array
  tokens: chex.Array


def sample(
  run: config_lib.Run,
  params: Any,
  rng_key: chex.PRNGKey,
  problems: Any,
  num_samples: int,
  *,
  rules_propose: bool = False,
) -> Samples:
  """Return W solutions of each problem as NumPy arrays `[n * W, ...]`.

  Args:
    run: whose policy samples.
    params: of the policy.
    rng_key: draws (consumed).
    problems: `[n, ...]`.
    num_samples: W.
    rules_propose: see `_play_on`.
  """
  task, apply_fn = run.task, run.model.apply

  def write(params, rng_keys, problems):
    batch = rng_keys.shape[0]
    none = jnp.zeros((batch, task.max_steps), jnp.int32)
    tokens = jnp.zeros((*none.shape, task.max_step_tokens), jnp.int32)
    trace, spent = _play_on(
      apply_fn,
      task,
      rules_propose,
      params,
      rng_keys,
      (problems, tokens, none, none[:, 0]),
    )
    solution = rewards.Solution.of(problems, trace.episode)
    logits = rewards.model.state_logits(
      apply_fn, params, solution.contexts, solution.ends
    )
    return Samples(
      solution=solution,
      solved=trace.episode.solved,
      truncated=trace.state.truncated,
      value=jax.nn.sigmoid(logits),
      tokens=spent,
    )

  rows = jax.tree.map(lambda x: np.repeat(x, num_samples, axis=0), problems)
  return measure.run(jax.jit(write), params, rng_key, rows, batch_size=_BATCH)


class Rollouts:
  """Plays on from prefixes of solutions by the policy alone.

  Attributes:
    tokens: that the network has passed for them, so far.
  """

  def __init__(
    self,
    run: config_lib.Run,
    params: Any,
    rng_key: chex.PRNGKey,
    *,
    rules_propose: bool = False,
  ):
    """As `sample`."""
    self._params, self._rng_key, self._asked = params, rng_key, 0
    self.tokens = 0

    def solves(params, rng_keys, rows):
      trace, spent = _play_on(
        run.model.apply, run.task, rules_propose, params, rng_keys, rows
      )
      return trace.episode.solved, spent

    self._play = jax.jit(solves)

  def __call__(
    self, solution: rewards.Solution, lengths: np.ndarray, count: int
  ) -> np.ndarray:
    """Return whether each of k rollouts solves, `[n, k]` bool.

    Args:
      solution: `[n, ...]`.
      lengths: `[n]` int32, steps of each prefix.
      count: k.
    """
    key = jax.random.fold_in(self._rng_key, self._asked)
    self._asked += 1
    rows = (solution.problem, solution.steps, solution.step_lengths, lengths)
    rows = jax.tree.map(lambda x: np.repeat(np.asarray(x), count, axis=0), rows)
    solved, tokens = measure.run(
      self._play, self._params, key, rows, batch_size=_BATCH
    )
    self.tokens += int(tokens.sum())
    return solved.reshape(-1, count)


def by_rollouts(
  rollouts: Rollouts, samples: Samples, count: int, *, hard: bool
) -> np.ndarray:
  """Return the Monte-Carlo label of every step, `[n, D]` float32.

  That of the last step is its outcome, that of an illegal one 0.
  """
  solution = samples.solution
  depth = solution.steps.shape[1]
  found = np.zeros((len(samples.solved), depth), np.float32)
  last = solution.num_steps - 1
  for step in range(depth):
    rows = np.flatnonzero(last > step)
    if len(rows):
      part = jax.tree.map(lambda x, r=rows: x[r], solution)
      lengths = np.full(len(rows), step + 1, np.int32)
      successes = rollouts(part, lengths, count)
      found[rows, step] = labels.monte_carlo(successes, hard=hard)
  rows = np.flatnonzero(last >= 0)
  found[rows, last[rows]] = samples.solved[rows]
  return found


def by_halving(rollouts: Rollouts, samples: Samples, count: int) -> np.ndarray:
  """Return the hard label of every step by OmegaPRM's search, `[n, D]`."""
  solution = samples.solution
  first_wrong = np.array(solution.num_steps)
  rows = np.flatnonzero(~samples.solved & (solution.num_steps > 0))

  def succeeds(places, lengths):
    part = jax.tree.map(lambda x: x[rows[places]], solution)
    return rollouts(part, lengths.astype(np.int32), count).any(axis=1)

  if len(rows):
    first_wrong[rows], _ = labels.first_errors(
      succeeds, np.asarray(solution.num_steps[rows])
    )
  return labels.until_error(
    first_wrong, solution.num_steps, solution.steps.shape[1]
  )


def truth(task: base.Task, samples: Samples) -> np.ndarray | None:
  """Return which steps are right in truth, `[n, D]` bool.

  A step is right if the problem can still be solved behind it. None where no
  solver of the task can tell.
  """
  if not isinstance(task, arithmetic.Arithmetic):
    return None
  solution = samples.solution
  right = np.array(solution.is_step & solution.legal)
  resets = solution.contexts.shape[1] > 1

  solvable = functools.cache(task.is_solvable)
  for row, step in np.argwhere(right):
    context = solution.contexts[row, step + 1 if resets else 0]
    tokens = context[: solution.ends[row, step + 1]]
    right[row, step] = solvable(task.tokenizer.decode([int(i) for i in tokens]))
  return right


def _written(task, problem, tokens, lengths, num_steps) -> play.Trace:
  """Return the trace of one problem after the first steps of a path."""
  steps = lengths.shape[0]
  line = types.Line(
    tokens=tokens[:, None],
    lengths=lengths[:, None],
    actions=jnp.zeros((steps,), jnp.int32),
    weights=jnp.ones((steps, 1)),
    length=num_steps,
    solves=jnp.zeros((), bool),
  )
  return play.play_line(task, play.start(task, 1, problem), line, jnp.zeros(()))


def _play_on(apply_fn, task, rules_propose, params, rng_keys, rows):
  """Play B prefixes to their end by the policy alone.

  Args:
    apply_fn: the network.
    task: the environment.
    rules_propose: whether a random legal step stands in for an illegal one, as
      in self-play; so a policy that knows little yet still gives whole
      solutions.
    params: of the network.
    rng_keys: `[B]` (consumed).
    rows: problems, steps `[B, D, T]`, their lengths `[B, D]`, and how many of
      them are the prefix, `[B]`.

  Returns:
    The traces, and the tokens that the network has passed, `[B]`.
  """
  config = tree_search.SearchConfig(
    num_simulations=0,
    num_candidates=1,
    permission="rules" if rules_propose else "nothing",
    rules_propose=rules_propose,
  )
  trace = jax.vmap(functools.partial(_written, task))(*rows)
  fold = jax.vmap(jax.random.fold_in, (0, None))

  def is_running(carry):
    moves, trace, _ = carry
    return (moves < task.max_steps) & ~jnp.all(trace.state.terminated)

  def move(carry):
    moves, trace, cost = carry
    found, trace, _ = play.advance(
      apply_fn, task, config, params, fold(rng_keys, moves), trace
    )
    return moves + 1, trace, cost + found.cost

  cost = types.Cost.zeros(rng_keys.shape[0])
  _, trace, cost = jax.lax.while_loop(
    is_running, move, (jnp.int32(0), trace, cost)
  )
  return trace, cost.decoded + cost.prefilled
