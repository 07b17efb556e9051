"""Tests of the curricula."""

import collections

import jax
import numpy as np
import unoptimized

from alphallm.learning import curriculum


def course(**values):
  defaults = dict(last=6, threshold=0.9, schedule=[[0, 4]])
  return curriculum.Curriculum(**defaults | values)


def test_a_level_rises_two_iterations_after_it_was_reached():
  c = course()
  for iteration, solved in enumerate([0.1, 0.9, 0.95, 0.2, 0.95, 0.99]):
    c.record(iteration, solved)
  assert [c.level(i) for i in range(8)] == [4, 4, 4, 5, 5, 5, 6, 6]


def test_an_iteration_of_the_level_before_does_not_count():
  c = course()
  c.record(0, 1.0)
  c.record(1, 1.0)  # drawn before the level rose
  assert c.schedule == [[0, 4], [2, 5]]


def test_the_last_level_stays():
  c = course(schedule=[[0, 6]])
  c.record(0, 1.0)
  assert c.level(100) == 6


def test_what_is_recorded_late_is_drawn_alike():
  solved = [0.95, 0.1, 0.92, 0.97, 0.3, 0.99, 0.99]
  prompt, late, levels = course(), course(), []
  for iteration, share in enumerate(solved):
    levels.append(late.level(iteration))
    if iteration:
      late.record(iteration - 1, solved[iteration - 1])
    assert prompt.level(iteration) == levels[-1]
    prompt.record(iteration, share)


def test_problems_are_hard_but_not_hopeless():
  values = np.array([0.0, 0.02, 0.5, 0.5, 0.8, 1.0], np.float32)
  draw = unoptimized.jit(
    jax.vmap(lambda key: curriculum.unsure(values, key, 2))
  )
  drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
  assert np.all(drawn[:, 0] != drawn[:, 1])
  first = collections.Counter(drawn[:, 0].tolist())
  weights = values * (1 - values)
  expected = weights / weights.sum()
  found = np.array([first[i] / 4000 for i in range(len(values))])
  np.testing.assert_allclose(found, expected, atol=0.03)
