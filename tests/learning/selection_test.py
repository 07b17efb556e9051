"""What is selected, against loops."""

import collections
import functools

import jax
import numpy as np
import unoptimized

from alphallm.learning import selection

N, G = 40, 6
RNG = np.random.default_rng(0)
SUCCESS, VALID = RNG.random((2, N, G)) < 0.5


def test_solved_attempts():
  np.testing.assert_array_equal(
    selection.solved(SUCCESS, VALID), SUCCESS * VALID
  )


def test_at_most_so_many_of_a_problem():
  run = unoptimized.jit(selection.at_most, static_argnums=1)
  seen = collections.Counter()
  for seed in range(20):
    kept = np.asarray(run(SUCCESS, 2, jax.random.key(seed)))
    assert not np.any(kept & ~SUCCESS)
    np.testing.assert_array_equal(kept.sum(-1), np.minimum(SUCCESS.sum(-1), 2))
    seen.update(map(tuple, np.argwhere(kept).tolist()))
  assert len(seen) == SUCCESS.sum()  # each has its turn


REWARDS = RNG.integers(0, 3, (N, G)) / 2


def test_the_best_are_those_that_earned_most():
  best = functools.partial(selection.best, most=2, least=0.5)
  run = unoptimized.jit(lambda *args: best(*args[:2], rng_key=args[2]))
  seen = collections.Counter()
  for seed in range(20):
    kept = np.asarray(run(REWARDS, VALID, jax.random.key(seed)))
    for n in range(N):
      there = np.sort(REWARDS[n][VALID[n]])[::-1][:2]
      found = np.sort(REWARDS[n][kept[n]])[::-1]
      np.testing.assert_array_equal(found, there[there >= 0.5])
    seen.update(map(tuple, np.argwhere(kept).tolist()))
  assert len(seen) > kept.sum()  # equals have their turns


def test_pairs_are_of_what_earned_most_and_least():
  run = unoptimized.jit(functools.partial(selection.pair, least_gap=0.7))
  for seed in range(3):
    places, both = map(np.asarray, run(REWARDS, VALID, jax.random.key(seed)))
    for n in range(N):
      there = REWARDS[n][VALID[n]]
      assert both[n] == (len(there) > 0 and np.ptp(there) >= 0.7)
      if both[n]:
        assert VALID[n][places[n]].all()
        found = REWARDS[n][places[n]]
        np.testing.assert_array_equal(found, [there.max(), there.min()])
  assert 0 < both.mean() < 1


def test_pairs_are_of_a_solved_and_a_failed_attempt():
  run = unoptimized.jit(functools.partial(selection.pair, least_gap=0.1))
  drawn = set()
  for seed in range(20):
    places, both = map(
      np.asarray, run(SUCCESS * 1.0, VALID, jax.random.key(seed))
    )
    for n in range(N):
      better, worse = SUCCESS[n] & VALID[n], ~SUCCESS[n] & VALID[n]
      assert both[n] == (better.any() and worse.any())
      if both[n]:
        assert better[places[n, 0]] and worse[places[n, 1]]
        drawn.add((n, *places[n].tolist()))
  assert len(drawn) > 2 * both.sum()


def test_siblings_are_the_best_and_the_worst_seen():
  qvalues = RNG.random((N, G)).astype(np.float32)
  visits = RNG.integers(0, 4, (N, G))
  places, both = map(
    np.asarray,
    selection.siblings(qvalues, visits, least_gap=0.3, least_visits=2),
  )
  for n in range(N):
    seen = np.flatnonzero(visits[n] >= 2)
    gap = np.ptp(qvalues[n][seen]) if len(seen) else 0.0
    assert both[n] == (len(seen) > 0 and gap >= 0.3)
    if both[n]:
      assert places[n, 0] == seen[qvalues[n][seen].argmax()]
      assert places[n, 1] == seen[qvalues[n][seen].argmin()]
  assert 0 < both.mean() < 1
