"""Tests of power laws: known curves come back, with their intervals."""

import dataclasses

import numpy as np
import pytest

from alphallm import scaling_laws

MANY = 10**9  # problems, so that counts are hardly rounded


def cells(exponent=0.3, problems=MANY, noise=None):
  """Return a grid whose failure is a power of the test's compute."""
  found = []
  for size, scale in (1_000, 0.9), (4_000, 0.6):
    for budget in 0, 1, 4, 16:
      test = 2.0 * size * (budget + 1)
      failure = scale * (test / size) ** -exponent
      missed = failure * problems
      if noise is not None:
        missed = noise.binomial(problems, failure)
      found.append(
        scaling_laws.Cell(
          parameters=size,
          simulations=4,
          iterations=10,
          budget=budget,
          solved=problems - round(missed),
          problems=problems,
          training=1e6 * size,
          test=test,
        )
      )
  return found


def test_a_known_law_comes_back():
  law = scaling_laws.fit("budget", cells(), num_draws=50)
  assert law.exponent == pytest.approx(0.3, abs=1e-6)
  assert law.interval == pytest.approx((0.3, 0.3), abs=1e-3)
  assert law.residual < 1e-6 and law.explained > 0.999999
  assert [[cell.budget for cell in s] for s in law.series] == [
    [0, 1, 4, 16]
  ] * 2
  for number, series in enumerate(law.series):
    compute = np.array([cell.test for cell in series])
    failed = [1 - cell.solved / cell.problems for cell in series]
    np.testing.assert_allclose(law.failure(number, compute), failed, rtol=1e-5)


def test_the_fit_is_that_of_least_squares_with_dummies():
  found = cells(problems=200, noise=np.random.default_rng(1))
  law = scaling_laws.fit("budget", found, num_draws=20)
  rate = np.array([(200 - cell.solved + 0.5) / 201 for cell in found])
  weight = np.sqrt(200 * rate / (1 - rate))
  design = np.array([
    [-np.log(c.test), c.parameters == 1_000, c.parameters == 4_000]
    for c in found
  ], float)  # fmt: skip
  wanted, *_ = np.linalg.lstsq(
    design * weight[:, None], np.log(rate) * weight, rcond=None
  )
  np.testing.assert_allclose([law.exponent, *law.intercepts], wanted, rtol=1e-9)


def test_where_the_law_misfits_all_cells_weigh_alike():
  rng, found = np.random.default_rng(2), []
  for cell in cells():
    failure = 1 - cell.solved / cell.problems
    failure *= np.exp(rng.normal(scale=0.3) - 1)
    solved = cell.problems - round(failure * cell.problems)
    found.append(dataclasses.replace(cell, solved=solved))
  law = scaling_laws.fit("budget", found, num_draws=20)
  y = [np.log(1 - cell.solved / cell.problems) for cell in found]
  design = np.array([
    [-np.log(c.test), c.parameters == 1_000, c.parameters == 4_000]
    for c in found
  ], float)  # fmt: skip
  wanted, (square,), *_ = np.linalg.lstsq(design, np.array(y), rcond=None)
  np.testing.assert_allclose([law.exponent, *law.intercepts], wanted, rtol=1e-5)
  assert law.residual == pytest.approx(np.sqrt(square / len(y)), rel=1e-5)


def test_most_intervals_hold_the_truth():
  rng = np.random.default_rng(0)
  laws = [
    scaling_laws.fit("budget", cells(problems=500, noise=rng), num_draws=100)
    for _ in range(40)
  ]
  held = [law.interval[0] <= 0.3 <= law.interval[1] for law in laws]
  assert np.mean(held) > 0.75  # of two series a bootstrap is narrow


def test_series_differ_in_one_axis_alone():
  assert len(scaling_laws.series_of("parameters", cells())) == 4
  with pytest.raises(ValueError, match="no two cells differ in iterations"):
    scaling_laws.fit("iterations", cells())


def test_the_frontier_ascends():
  found = scaling_laws.frontier(cells(), served=10)
  costs, best = zip(*found, strict=True)
  assert list(costs) == sorted(costs) and best[0].budget == 0
  solved = [cell.solved for cell in best]
  assert solved == sorted(solved) and max(solved) == max(
    cell.solved for cell in cells()
  )
