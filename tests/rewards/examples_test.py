"""Examples of labelled solutions, against loops."""

import numpy as np
import pytest
import solutions
import toy_task

from alphallm.rewards import examples

SAMPLES = 8


@pytest.fixture(scope="module", params=["append", "reset"])
def walks(request):
  task = toy_task.Walk(request.param)
  solution, _ = solutions.random_walks(task, 2 * SAMPLES, seed=3)
  rng = np.random.default_rng(0)
  solved = rng.random(2 * SAMPLES) < 0.5
  labels = rng.random(solution.legal.shape).astype(np.float32)
  return solution, solved, labels


def context(solution, row, state):
  resets = solution.contexts.shape[1] > 1
  return solution.contexts[row, state if resets else 0]


def labelled(states):
  """Return (context, end, label) of all labels."""
  found = []
  for i, s in np.argwhere(states.mask):
    row = 0 if states.contexts.shape[1] == 1 else s
    end = int(states.ends[i, s])
    found.append(
      (tuple(states.contexts[i, row, :end]), end, float(states.labels[i, s]))
    )
  return sorted(found)


def test_of_steps_and_outcomes(walks):
  solution, solved, labels = walks
  every, whole = [], []
  for row in range(2 * SAMPLES):
    count = solution.num_steps[row]
    for step in range(count):
      if solution.legal[row, step]:
        end = int(solution.ends[row, step + 1])
        text = tuple(context(solution, row, step + 1)[:end])
        every.append((text, end, float(labels[row, step])))
        if step == count - 1:
          whole.append((text, end, float(solved[row])))
  assert labelled(examples.of_steps(solution, labels)) == sorted(every)
  assert labelled(examples.of_outcomes(solution, solved)) == sorted(whole)


def test_pairs_are_of_one_problem_and_legal(walks):
  solution, solved, _ = walks
  rng = np.random.default_rng(0)
  better, worse = examples.pairs(solution, solved, SAMPLES, rng)
  assert np.all(better // SAMPLES == worse // SAMPLES)
  assert np.all(solved[better]) and not np.any(solved[worse])
  last = solution.num_steps - 1
  legal = solution.legal[np.arange(2 * SAMPLES), last]
  assert np.all(legal[better]) and np.all(legal[worse])
  assert set(better) == {
    i
    for i in np.flatnonzero(solved & legal)
    if np.any(legal & ~solved & (np.arange(2 * SAMPLES) // SAMPLES == i // 8))
  }
  pairs = examples.of_pairs(solution, better, worse)
  for i, rows in enumerate(zip(better, worse, strict=True)):
    for k, row in enumerate(rows):
      assert pairs.ends[i, k] == solution.ends[row, last[row] + 1]
      np.testing.assert_array_equal(
        pairs.contexts[i, k], context(solution, row, last[row] + 1)
      )
  with pytest.raises(ValueError, match="sample more"):
    examples.pairs(solution, np.ones_like(solved), SAMPLES, rng)


def test_siblings_are_the_best_against_the_worst(walks):
  solution, _, labels = walks
  found = examples.of_siblings(solution, labels, SAMPLES, margin=0.1)
  text = lambda c, end: tuple(np.asarray(c)[: int(end)])
  label = {}
  for row, step in np.argwhere(solution.legal):
    end = solution.ends[row, step + 1]
    key = text(context(solution, row, step + 1), end)
    label.setdefault(key, set()).add(float(labels[row, step]))
  for i in range(len(found.ends)):
    of = lambda k, i=i: label[text(found.contexts[i, k], found.ends[i, k])]
    right = [max(of(k)) for k in range(4) if found.right[i, k]]
    wrong = [min(of(k)) for k in range(4) if found.wrong[i, k]]
    assert right and wrong and max(right) > min(wrong)
  assert not np.any(found.right & found.wrong)
  with pytest.raises(ValueError, match="sample more"):
    examples.of_siblings(solution, 0 * labels, SAMPLES)
