"""Tests of measuring: batches, independence of them, intervals."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import tiny_config

from alphallm import config, measure, tasks, types
from alphallm.models import transformer
from alphallm.search import play


@pytest.mark.parametrize("total, size", [(1, 1), (6, 3), (7, 3), (2, 5)])
def test_batches_cover_every_problem_once(total, size):
  problems = {"a": np.arange(total), "b": np.arange(2 * total).reshape(-1, 2)}
  seen = []
  for batch, count in measure.batches(problems, size):
    assert batch["a"].shape == (size,) and batch["b"].shape == (size, 2)
    np.testing.assert_array_equal(batch["b"][:, 0], 2 * batch["a"])
    assert (batch["a"] < total).all()
    seen += list(batch["a"][:count])
  assert seen == list(range(total))


def test_every_problem_has_the_key_of_its_index():
  def solve(params, rng_keys, problems):
    return {"key": jax.random.key_data(rng_keys), "problem": problems + params}

  results = [
    measure.run(solve, 1, jax.random.key(5), np.arange(7), batch_size=size)
    for size in (1, 3, 7, 100)
  ]
  fold = jax.vmap(jax.random.fold_in, (None, 0))
  keys = jax.random.key_data(fold(jax.random.key(5), np.arange(7)))
  for result in results:
    np.testing.assert_array_equal(result["problem"], np.arange(7) + 1)
    np.testing.assert_array_equal(result["key"], keys)
  rest = list(
    measure.each(
      solve, 1, jax.random.key(5), np.arange(7), batch_size=3, first=3
    )
  )
  assert [len(part["key"]) for part in rest] == [3, 1]
  np.testing.assert_array_equal(
    np.concatenate([part["key"] for part in rest]), keys[3:]
  )


@pytest.mark.parametrize(
  "num_simulations", [0, pytest.param(4, marks=pytest.mark.slow)]
)
def test_results_do_not_depend_on_the_batches(num_simulations):
  run = config.make_run(tiny_config.get_config())
  search = dataclasses.replace(config.GREEDY, noise=True)
  if num_simulations:
    search = config.for_evaluation(run, num_simulations)
  solve = measure.solver(run.model.apply, run.task, search)
  params = transformer.init_params(run.model.config, jax.random.key(0))
  problems = run.task.sample_numpy(np.random.default_rng(0), 11, "test")
  whole, parts = (
    measure.run(solve, params, jax.random.key(1), problems, batch_size=size)
    for size in (11, 4)
  )
  np.testing.assert_array_equal(whole.tokens, parts.tokens)
  np.testing.assert_array_equal(whole.solved, parts.solved)
  np.testing.assert_array_equal(measure.tokens(whole), measure.tokens(parts))
  np.testing.assert_allclose(whole.value, parts.value, rtol=1e-5)
  fewer = measure.run(
    solve,
    params,
    jax.random.key(1),
    jax.tree.map(lambda x: x[:7], problems),
    batch_size=4,
  )
  np.testing.assert_array_equal(whole.tokens[:7], fewer.tokens)


def test_tokens_are_those_decoded_and_those_read():
  cost = types.Cost(
    decoded=np.array([1, 2]),
    prefilled=np.array([10, 20]),
    model_calls=0,
    nodes=0,
  )
  result = play.SearchResult(
    tokens=None,
    solved=None,
    reward=None,
    value=None,
    cost=cost,
    episode=None,
  )
  np.testing.assert_array_equal(measure.tokens(result), [11, 22])


@pytest.mark.parametrize(
  "successes, total, low, high",
  [  # R: prop.test(x, n, correct = FALSE)$conf.int
    (0, 10, 0.0, 0.2775328),
    (10, 10, 0.7224672, 1.0),
    (5, 10, 0.2365931, 0.7634069),
    (1, 1, 0.2065493, 1.0),
    (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I
    (15, 148, 0.0624, 0.1605),
  ],
)
def test_interval(successes, total, low, high):
  tolerance = 6e-5 if total > 10 else 1e-6
  np.testing.assert_allclose(
    measure.interval(successes, total), (low, high), atol=tolerance
  )
  # By its definition: the shares that are z standard errors away.
  for share in measure.interval(successes, total):
    away = (successes / total - share) ** 2
    assert away == pytest.approx(
      1.959964**2 * share * (1 - share) / total, abs=1e-9
    )


def test_held_out_problems_of_one_level():
  task = tasks.BlocksWorld(min_blocks=3, max_blocks=5)
  drawn = measure.held_out(task, 40, 4)
  assert task.level_of(drawn).tolist() == [4] * 40
  again = measure.held_out(task, 40, 4)
  jax.tree.map(np.testing.assert_array_equal, drawn, again)
  assert set(task.level_of(measure.held_out(task, 40))) == {3, 4, 5}


@pytest.mark.parametrize(
  "one, other, p",
  [  # R: binom.test(one, one + other)$p.value
    (0, 0, 1.0),
    (5, 5, 1.0),
    (0, 5, 0.0625),
    (6, 1, 0.125),
    (3, 12, 0.03515625),
  ],
)
def test_mcnemar(one, other, p):
  first = np.array([1] * one + [0] * other + [1, 0, 1], bool)
  second = np.array([0] * one + [1] * other + [1, 0, 1], bool)
  assert measure.mcnemar(first, second) == pytest.approx(p)
  assert measure.mcnemar(second, first) == pytest.approx(p)


def test_pass_at_k_is_the_mean_over_all_choices():
  right = [0, 1, 3, 5]
  for k in 1, 2, 5:
    shares = [
      np.mean(
        [any(i < c for i in few) for few in itertools.combinations(range(5), k)]
      )
      for c in right
    ]
    assert measure.pass_at(k, 5, right) == pytest.approx(np.mean(shares))


def test_calibration():
  values = np.array([0.05, 0.05, 0.95, 1.0, 0.45])
  solved = np.array([0, 1, 1, 1, 0], bool)
  error, curve = measure.calibration(values, solved)
  assert curve == [
    (pytest.approx(0.05), 0.5, 2),
    (pytest.approx(0.45), 0.0, 1),
    (pytest.approx(0.975), 1.0, 2),
  ]
  assert error == pytest.approx(0.4 * 0.45 + 0.2 * 0.45 + 0.4 * 0.025)


def test_holm():
  """The example of Holm's procedure, worked by hand."""
  p = [0.01, 0.04, 0.03, 0.005]
  np.testing.assert_allclose(measure.holm(p), [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(measure.holm([0.6, 0.7]), [1.0, 1.0])
  assert measure.holm([]).shape == (0,)
