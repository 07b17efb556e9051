"""Rules of labels on a tree that is small enough to enumerate.

The tree: at each of 4 steps two ways on, "0" and "1". A path is lost as soon
as it holds two ones; a rollout goes on by fair coins and is right if its path
is never lost.
"""

import itertools

import numpy as np

from alphallm.rewards import labels

DEPTH = 4


def succeeds(path):
  return sum(path) < 2


def rollouts(prefix):
  """Return every way to go on from a prefix, each as likely."""
  rest = itertools.product((0, 1), repeat=DEPTH - len(prefix))
  return [succeeds((*prefix, *more)) for more in rest]


def chance(prefix):
  """Return the chance to succeed, by recursion."""
  if len(prefix) == DEPTH:
    return float(succeeds(prefix))
  return (chance((*prefix, 0)) + chance((*prefix, 1))) / 2


def prefixes():
  return [
    p for n in range(DEPTH + 1) for p in itertools.product((0, 1), repeat=n)
  ]


def test_monte_carlo_of_all_rollouts_is_the_chance():
  for prefix in prefixes():
    soft = labels.monte_carlo(np.array(rollouts(prefix)), hard=False)
    hard = labels.monte_carlo(np.array(rollouts(prefix)), hard=True)
    assert soft == chance(prefix)
    assert hard == (sum(prefix) < 2)


def first_wrong(path):
  return next(i for i in range(DEPTH) if sum(path[: i + 1]) >= 2)


def test_binary_search_finds_the_first_wrong_step_of_every_wrong_path():
  wrong = [
    path
    for path in itertools.product((0, 1), repeat=DEPTH)
    if not succeeds(path)
  ]
  questions = []

  def ask(rows, lengths):
    questions.append(len(rows))
    return [
      any(rollouts(wrong[row][:length]))
      for row, length in zip(rows, lengths, strict=True)
    ]

  found, asked = labels.first_errors(ask, np.full(len(wrong), DEPTH))
  np.testing.assert_array_equal(found, [first_wrong(path) for path in wrong])
  # log2(4) questions each, where Monte Carlo asks of all 3 prefixes.
  assert asked == sum(questions) == 2 * len(wrong)


def test_binary_search_asks_nothing_of_a_single_step():
  found, asked = labels.first_errors(None, np.array([1, 1]))
  np.testing.assert_array_equal(found, [0, 0])
  assert asked == 0


def test_until_error():
  np.testing.assert_array_equal(
    labels.until_error(np.array([0, 2, 9]), np.array([3, 3, 2]), 4),
    [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]],
  )


def test_values_of_a_tree_that_was_visited_throughout():
  """Nodes in order of their paths; values backed up as mctx does."""
  paths = prefixes()
  place = {path: i for i, path in enumerate(paths)}
  values, visits = np.zeros(len(paths)), np.zeros(len(paths), np.int32)
  for path in itertools.product((0, 1), repeat=DEPTH):
    for n in range(DEPTH + 1):
      node = place[path[:n]]
      visits[node] += 1
      values[node] += (succeeds(path) - values[node]) / visits[node]
  terminal = np.array([len(path) == DEPTH for path in paths])
  reward = np.array(
    [float(terminal[i] and succeeds(p)) for i, p in enumerate(paths)]
  )
  found, trusted = labels.from_tree(
    values[None], visits[None], terminal=terminal[None], reward=reward[None]
  )
  for path in paths:
    node = place[path]
    is_trusted = len(path) == DEPTH or visits[node] >= 4
    assert trusted[0, node] == is_trusted
    assert found[0, node] == (chance(path) if is_trusted else 0)
