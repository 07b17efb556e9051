"""What reward models learn from, made of labelled solutions; on the host."""

import chex
import jax
import numpy as np

from alphallm.rewards import base


@chex.dataclass(frozen=True)
class States:
  """States with labels, `[n, ...]`.

  Attributes:
    contexts: `[R, C]` int32, as of `Solution`; of a tree one for each node.
    ends: `[S]` int32.
    labels: `[S]` float32, in [0, 1].
    mask: `[S]` bool, which states have one.
  """

  contexts: chex.Array
  ends: chex.Array
  labels: chex.Array
  mask: chex.Array


@chex.dataclass(frozen=True)
class Siblings:
  """K states each, of which some are better than others, `[n, K, ...]`.

  Attributes:
    contexts: `[C]` int32.
    ends: `[]` int32.
    right: `[]` bool, which are the better ones.
    wrong: `[]` bool, which the worse ones; some may be neither.
  """

  contexts: chex.Array
  ends: chex.Array
  right: chex.Array
  wrong: chex.Array


@chex.dataclass(frozen=True)
class Pairs:
  """Two solutions of a problem, the better one first, `[n, ...]` each.

  Attributes:
    better: that solves it.
    worse: that does not.
  """

  better: base.Solution
  worse: base.Solution


@chex.dataclass(frozen=True)
class Walks:
  """U steps in a row and the states between them, `[n, ...]`.

  Attributes:
    contexts: `[U + 1, C]` int32, the text of each state.
    ends: `[U + 1]` int32, its tokens; 0 where there is none.
    steps: `[U, T]` int32.
    step_lengths: `[U]` int32.
    is_step: `[U]` bool, which steps are there.
    legal: `[U]` bool, which of them the rules allow.
    over: `[U]` bool, which of them end the episode.
    rewards: `[U]` float32, what each earns.
  """

  contexts: chex.Array
  ends: chex.Array
  steps: chex.Array
  step_lengths: chex.Array
  is_step: chex.Array
  legal: chex.Array
  over: chex.Array
  rewards: chex.Array


def of_walks(
  solution: base.Solution,
  solved: np.ndarray,
  truncated: np.ndarray,
  unroll: int,
) -> Walks:
  """Return a walk from each state at which a step was taken.

  Args:
    solution: `[n, ...]`, of a task whose context is reset.
    solved: `[n]` bool; a solution that solves earns 1 at its last step.
    truncated: `[n]` bool, whose last step is no end but for the cap of steps,
      of which its text says nothing.
    unroll: U.

  Raises:
    ValueError: if contexts append, or there is no step.
  """
  depth = solution.steps.shape[1]
  if solution.contexts.shape[1] == 1:
    raise ValueError(
      "a world model foresees states, which tell all where contexts reset"
    )
  rows, starts = np.nonzero(np.asarray(solution.is_step))
  if not len(rows):
    raise ValueError("no solution has steps: there is nothing to foresee")
  places = starts[:, None] + np.arange(unroll + 1)
  # Behind the last state stands none.
  at = lambda x, most: np.take_along_axis(
    np.asarray(x)[rows],
    np.minimum(places, most).reshape(places.shape + (1,) * (x.ndim - 2)),
    axis=1,
  )
  is_state = places <= solution.num_steps[rows, None]
  step = lambda x: at(x, depth - 1)[:, :-1]
  is_step = is_state[:, 1:]
  legal = step(solution.legal) & is_step
  last = places[:, 1:] == solution.num_steps[rows, None]
  earned = last & np.asarray(solved)[rows, None]
  return Walks(
    contexts=at(solution.contexts, depth),
    ends=np.where(is_state, at(solution.ends, depth), 0),
    steps=step(solution.steps),
    step_lengths=step(solution.step_lengths),
    is_step=is_step,
    legal=legal,
    over=last & ~np.asarray(truncated)[rows, None],
    rewards=earned.astype(np.float32),
  )


def one_step(walks: Walks, unroll: int) -> Walks:
  """Return walks of one step each, with room for U; without those of none.

  Args:
    walks: `[n, m, ...]`, each of room for one step.
    unroll: U.
  """
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), walks)
  kept = np.flatnonzero(flat.is_step)
  room = lambda x: np.pad(
    x[kept], ((0, 0), (0, unroll - 1)) + ((0, 0),) * (x.ndim - 2)
  )
  return jax.tree.map(room, flat)


def of_outcomes(solution: base.Solution, solved: np.ndarray) -> States:
  """Label the last state of legal solutions by their outcome, `[n]`."""
  last = np.arange(solution.ends.shape[1])[None] == solution.num_steps[:, None]
  mask = last & _whole(solution)[:, None]
  labels = np.where(mask, solved[:, None], 0).astype(np.float32)
  return compact(
    States(
      contexts=solution.contexts, ends=solution.ends, labels=labels, mask=mask
    )
  )


def of_steps(solution: base.Solution, labels: np.ndarray) -> States:
  """Label the state behind each legal step, `[n, D]`."""
  legal = np.asarray(solution.legal & solution.is_step)
  pad = lambda x: np.pad(x, ((0, 0), (1, 0)))  # the first state has no step
  return compact(
    States(
      contexts=solution.contexts,
      ends=solution.ends,
      labels=pad(np.where(legal, labels, 0)).astype(np.float32),
      mask=pad(legal),
    )
  )


def compact(states: States) -> States:
  """Return an example for each context, `[m, ...]`, without unlabelled ones."""
  rows = states.contexts.shape[1]
  each = lambda x: x.reshape(-1, x.shape[1] // rows, *x.shape[2:])
  flat = jax.tree.map(each, states)
  kept = flat.mask.any(axis=1)
  return jax.tree.map(lambda x: x[kept], flat)


def pairs(
  solution: base.Solution,
  solved: np.ndarray,
  num_samples: int,
  rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Return which solutions are right and wrong at the same problem, `[m]` each.

  Every right one is put against one that is wrong, drawn at random. Illegal
  ones are left out: the rules tell them without a model.

  Args:
    solution: `[n, ...]`, those of a problem in a row.
    solved: `[n]` bool.
    num_samples: solutions of each problem.
    rng: draws.

  Raises:
    ValueError: if no problem has both.
  """
  rows, whole = np.arange(len(solved)), _whole(solution)
  better, worse = [], []
  for group in rows.reshape(-1, num_samples):
    right = group[whole[group] & solved[group]]
    wrong = group[whole[group] & ~solved[group]]
    if len(right) and len(wrong):
      better += list(right)
      worse += list(rng.choice(wrong, len(right)))
  if not better:
    raise ValueError("no problem has right and wrong solutions; sample more")
  return np.array(better), np.array(worse)


def of_pairs(
  solution: base.Solution, better: np.ndarray, worse: np.ndarray
) -> Siblings:
  """Return the last states of pairs as siblings, `[m, 2]`."""
  rows = np.stack([better, worse], axis=1)
  contexts, ends = _at(solution, rows, solution.num_steps[rows])
  first = np.broadcast_to(np.array([[True, False]]), rows.shape)
  return Siblings(contexts=contexts, ends=ends, right=first, wrong=~first)


def of_siblings(
  solution: base.Solution,
  labels: np.ndarray,
  num_samples: int,
  *,
  most: int = 2,
  margin: float = 0.1,
) -> Siblings:
  """Return steps at the same state, the best against the worst.

  rStar-Math (Guan et al., 2025): of the steps that were written at a state the
  `most` of the highest label count as right, those of the lowest as wrong; and
  of whole solutions, which need not share a state but the first.

  Args:
    solution: `[n, ...]`, those of a problem in a row.
    labels: `[n, D]`, of each step.
    num_samples: solutions of each problem.
    most: of each kind.
    margin: by which the best must be above the worst.

  Returns:
    `[m, 2 * most]`, the right ones first.

  Raises:
    ValueError: if there are none.
  """
  groups: dict[tuple, dict[bytes, tuple[int, int]]] = {}
  legal = np.asarray(solution.legal & solution.is_step)
  for row, step in np.argwhere(legal):
    problem, count = row // num_samples, solution.num_steps[row]
    state = () if step == count - 1 else _text(solution, row, step)
    after = _text(solution, row, step + 1)
    here = groups.setdefault((problem, state == (), state), {})
    here[after] = (row, step)  # equal steps are one
  chosen, right, wrong = [], [], []
  for group in groups.values():
    places = sorted(group.values(), key=lambda at: -labels[at])
    best, worst = labels[places[0]], labels[places[-1]]
    if best - worst < margin:
      continue
    middle = (best + worst) / 2
    above = [x for x in places if labels[x] > middle][:most]
    below = [x for x in reversed(places) if labels[x] <= middle][:most]
    fill = lambda x: x + [x[0]] * (most - len(x))
    chosen.append(fill(above) + fill(below))
    right.append([i < len(above) for i in range(most)] + [False] * most)
    wrong.append([False] * most + [i < len(below) for i in range(most)])
  if not chosen:
    raise ValueError("no state has right and wrong steps; sample more")
  places = np.array(chosen)
  contexts, ends = _at(solution, places[..., 0], places[..., 1] + 1)
  return Siblings(
    contexts=contexts,
    ends=ends,
    right=np.array(right),
    wrong=np.array(wrong),
  )


def _whole(solution: base.Solution) -> np.ndarray:
  """Return which solutions have steps, and none that is illegal."""
  illegal = np.asarray(solution.is_step & ~solution.legal)
  return ~illegal.any(axis=1) & (np.asarray(solution.num_steps) > 0)


def _at(solution, rows, states):
  """Return the contexts and ends of states of solutions."""
  resets = solution.contexts.shape[1] > 1
  at = states if resets else np.zeros_like(states)
  return solution.contexts[rows, at], solution.ends[rows, states]


def _text(solution, row, state) -> bytes:
  context, end = _at(solution, row, state)
  return np.asarray(context[:end]).tobytes()
