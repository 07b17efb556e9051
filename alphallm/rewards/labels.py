"""Labels of steps that nobody wrote: from rollouts, from trees, by halving."""

from collections.abc import Callable

import chex
import jax.numpy as jnp
import numpy as np


def monte_carlo(successes: chex.Array, *, hard: bool) -> chex.Array:
  """Return the label of prefixes from k rollouts of each, `[...]`.

  Math-Shepherd (Wang et al., 2024): hard, eq. 3: 1 if any of them succeeds;
  soft, eq. 4: the share that does.

  Args:
    successes: `[..., k]` bool, whether each rollout solves the problem.
    hard: which rule.
  """
  successes = jnp.asarray(successes, jnp.float32)
  return jnp.max(successes, -1) if hard else jnp.mean(successes, -1)


def from_tree(
  values: chex.Array,
  visits: chex.Array,
  *,
  least_visits: int = 4,
  terminal: chex.Array | None = None,
  reward: chex.Array | None = None,
) -> tuple[chex.Array, chex.Array]:
  """Return the labels of a tree's nodes, and which of them have one.

  A node's label is its backed-up value, the mean of what the simulations
  through it came to (ReST-MCTS*, Zhang et al., 2024, section 3.2); of an end,
  its reward.

  Args:
    values: `[B, N]`, of the nodes.
    visits: `[B, N]` int32.
    least_visits: of a node that is trusted.
    terminal: `[B, N]` bool, which nodes are ends; `None`: none is.
    reward: `[B, N]`, of the ends.

  Returns:
    Labels in [0, 1] and a mask, both `[B, N]`.
  """
  labels, trusted = jnp.clip(values, 0.0, 1.0), visits >= least_visits
  if terminal is not None:
    labels = jnp.where(terminal, reward, labels)
    trusted |= terminal & (visits > 0)
  return jnp.where(trusted, labels, 0.0), trusted


def first_errors(
  succeeds: Callable[[np.ndarray, np.ndarray], np.ndarray],
  num_steps: np.ndarray,
) -> tuple[np.ndarray, int]:
  """Return the first wrong step of wrong solutions, by binary search.

  OmegaPRM (Luo et al., 2024, section 3.2): a prefix from which a rollout
  succeeds has no wrong step, a prefix from which none does has one, so that
  log₂ n questions find it where Monte Carlo would ask n.

  Args:
    succeeds: `(rows, lengths) -> bool`: whether any rollout from the first
      `lengths` steps of those solutions succeeds. All are asked side by side.
    num_steps: `[n]` int32, of solutions that are known to be wrong; at least 1.

  Returns:
    `[n]` int32, the index of the first wrong step, from 0; and how many
    prefixes were asked about.
  """
  right = np.zeros_like(num_steps)  # prefixes of so many steps are right
  wrong = np.array(num_steps)  # of so many are wrong
  asked = 0
  while np.any(wrong - right > 1):
    rows = np.flatnonzero(wrong - right > 1)
    middle = (right[rows] + wrong[rows]) // 2
    good = np.asarray(succeeds(rows, middle), bool)
    asked += len(rows)
    right[rows] = np.where(good, middle, right[rows])
    wrong[rows] = np.where(good, wrong[rows], middle)
  return wrong - 1, asked


def until_error(
  first_wrong: np.ndarray, num_steps: np.ndarray, length: int
) -> np.ndarray:
  """Return hard labels of steps: 1 before the first wrong one, 0 from there.

  Args:
    first_wrong: `[n]` int32, its index; `num_steps` or more: none is wrong.
    num_steps: `[n]` int32.
    length: D.

  Returns:
    `[n, D]` float32; 0 where there is no step.
  """
  places = np.arange(length)[None]
  right = places < np.minimum(first_wrong, num_steps)[:, None]
  return right.astype(np.float32)
