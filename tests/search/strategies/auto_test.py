"""The choice by difficulty against the strategies that it chooses."""

import fake_model
import jax
import numpy as np
import pytest
import strategy_cases
import trees
import unoptimized

from alphallm import search

PARAMS, TASK = strategy_cases.PARAMS, strategy_cases.TASKS["append"]


@pytest.mark.slow
def test_each_problem_is_solved_by_the_choice_of_its_bin():
  choices = [
    search.beam(
      fake_model.apply_fn, TASK, width=2, num_candidates=2, permission="rules"
    ),
    search.sampling(fake_model.apply_fn, TASK),
  ]
  pilot = search.best_of_n(
    fake_model.apply_fn, TASK, num_samples=2, permission="rules"
  )
  problems, keys = strategy_cases.drawn(), strategy_cases.keys_like()
  fold = jax.vmap(jax.random.fold_in, (0, None))
  tried = unoptimized.jit(pilot)(PARAMS, fold(keys, 0), problems)
  path = jax.tree.map(np.asarray, tried.paths)
  ease = np.where(path.score > -1e8, path.value, 0.0).mean(axis=1)
  np.testing.assert_allclose(search.ease(tried.paths), ease, rtol=1e-6)
  edge = float(np.median(ease))
  found = unoptimized.jit(
    search.auto(
      fake_model.apply_fn,
      TASK,
      choices=[choices[0], choices[1], choices[1]],
      edges=[edge, 2.0],
      num_samples=2,
      permission="rules",
    )
  )(PARAMS, keys, problems)
  separate = [
    unoptimized.jit(choice)(PARAMS, fold(keys, 1), problems)
    for choice in choices
  ]
  used = set()
  for row in range(len(ease)):
    which = int(ease[row] > edge)
    other = separate[which]
    used.add(which)
    at = lambda tree: jax.tree.map(lambda x: x[row], tree)  # noqa: B023
    trees.assert_near(at(found.episode), at(other.episode))
    trees.assert_near(at(found.cost), at(other.cost + tried.cost))
  assert used == {0, 1}


@pytest.mark.parametrize("edges", [(), (0.2, 0.1), (0.1, 0.2, 0.3)])
def test_edges_lie_between_choices(edges):
  with pytest.raises(ValueError, match="one more choice than edges"):
    search.auto(
      fake_model.apply_fn, TASK, choices=[print, print, print], edges=edges
    )
