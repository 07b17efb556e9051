import collections
import functools

import jax
import numpy as np
import pytest
import some_episodes
import unoptimized

from alphallm.learning import replay

E = 12
D, J, T, C = some_episodes.D, some_episodes.J, some_episodes.T, some_episodes.C
DISCOUNT = 0.9
ADD = unoptimized.jit(replay.add)
SAMPLE = unoptimized.jit(replay.sample, static_argnums=2)
TO_EXAMPLES = unoptimized.jit(
  replay.to_examples, static_argnames=("discount", "learn_from")
)


def example(i):
  """Return an example all of whose numbers say `i`."""
  return replay.Example(
    context=np.full(C, i, np.int32),
    ends=np.full(1, i, np.int32),
    candidates=np.full((1, J, T), i, np.int32),
    lengths=np.full((1, J), i, np.int32),
    weights=np.full((1, J), i, np.float32),
    values=np.full(1, i, np.float32),
    mask=np.full(1, i, np.float32),
  )


def stacked(ids):
  return jax.tree.map(lambda *x: np.stack(x), *map(example, ids))


def numbers(examples):
  """Return the `i` of each example, which all of its arrays must agree on."""
  leaves = [
    np.asarray(x).reshape(len(x), -1) for x in jax.tree.leaves(examples)
  ]
  for leaf in leaves:
    np.testing.assert_array_equal(leaf, leaves[0][:, :1] + 0 * leaf)
  return leaves[0][:, 0].astype(int).tolist()


def test_the_ring_against_a_deque():
  capacity, rng = 7, np.random.default_rng(0)
  ring = replay.init(example(0), capacity)
  model = collections.deque(maxlen=capacity)
  total = 0
  for i in range(12):
    ids = np.arange(1, 6) + 5 * i
    keep = rng.random(5) < (0.0 if i == 3 else 0.6)
    ring = ADD(ring, stacked(ids), keep)
    model.extend(ids[keep])
    total += keep.sum()
    assert ring.added == total
    assert ring.size == len(model)
    assert ring.capacity == capacity
    held = numbers(ring.examples)
    in_order = [
      held[place % capacity] for place in range(total - len(model), total)
    ]
    assert in_order == list(model)
  assert total > 3 * capacity


def test_fills_the_ring_at_once():
  ring = replay.init(example(0), 4)
  ring = ADD(ring, stacked([9]), np.array([True]))
  ring = ADD(ring, stacked([1, 2, 3, 4]), np.ones(4, bool))
  assert sorted(numbers(ring.examples)) == [1, 2, 3, 4]


def test_draws_uniformly_what_is_held():
  ring = replay.init(example(0), 5)
  ring = ADD(ring, stacked([1, 2, 3]), np.array([True, False, True]))
  drawn = collections.Counter(numbers(SAMPLE(ring, jax.random.key(0), 4000)))
  assert set(drawn) == {1, 3}
  assert abs(drawn[1] - 2000) < 160
  ring = ADD(ring, stacked([4, 5, 6, 7]), np.ones(4, bool))
  drawn = collections.Counter(numbers(SAMPLE(ring, jax.random.key(1), 4000)))
  assert set(drawn) == {3, 4, 5, 6, 7}
  assert max(drawn.values()) - min(drawn.values()) < 200
  again = numbers(SAMPLE(ring, jax.random.key(1), 4000))
  assert collections.Counter(again) == drawn


def test_only_the_newest_are_drawn():
  ring = replay.init(example(0), 5)
  for iteration, ids in enumerate(([1, 2, 3], [4, 5], [6])):
    ring = replay.add(ring, stacked(ids), np.ones(len(ids), bool), iteration)
  assert replay.num_since(ring, 1) == 3 and replay.num_since(ring, 2) == 1
  drawn = replay.sample(ring, jax.random.key(0), 100, newest=3)
  assert set(numbers(drawn)) == {4, 5, 6}
  # Of 2 3 4 5 6, at iteration 2; then of 4 5 6.
  np.testing.assert_allclose(replay.mean_age(ring, 2), (2 + 2 + 1 + 1) / 5)
  np.testing.assert_allclose(replay.mean_age(ring, 2, 3), 2 / 3)


def test_the_newest_are_completed():
  ring = replay.init(example(0), 5)
  ring = ADD(ring, stacked([1, 2, 3, 4]), np.ones(4, bool))
  ring = ADD(ring, stacked([5, 6, 7]), np.ones(3, bool))  # 6 5 at the seam
  tenfold = lambda batch: jax.tree.map(lambda x: 10 * x, batch)
  done = replay.complete(ring, 3, 2, tenfold)
  assert sorted(numbers(done.examples)) == [3, 4, 50, 60, 70]


def expected_examples(kind, episodes, done, learn_from, keep_failures):
  """Build the examples one state at a time."""
  rows = []
  for i in np.ndindex(done.shape):
    episode = jax.tree.map(lambda x: np.asarray(x)[i], episodes)  # noqa: B023
    n, states = int(episode.num_steps), []
    for t in range(D):
      learns = (
        episode.mask[t]
        and {
          "solutions": episode.on_solution[t],
          "solved": episode.solved,
          "all": True,
        }[learn_from]
      )
      weights = episode.weights[t] * bool(learns)
      teaches = t == n or episode.weights[t].any()
      keep = teaches and episode.mask[t] and done[i]
      keep &= keep_failures or weights.any()
      to_go = max(n - 1 - t, 0)
      states.append(
        {
          "end": max(int(episode.ends[t]), 1),
          "candidates": episode.candidates[t],
          "lengths": episode.candidate_lengths[t],
          "weights": weights,
          "value": DISCOUNT**to_go if episode.solved else 0.0,
          "mask": float(episode.mask[t]),
          "keep": bool(keep),
        }
      )
    if kind == "reset":
      rows += [(episode.contexts[t], [s]) for t, s in enumerate(states)]
    else:
      rows.append((episode.contexts[0], states))
  return rows


@pytest.mark.parametrize("learn_from", ["solutions", "solved", "all"])
@pytest.mark.parametrize("kind", ["reset", "append"])
def test_examples_of_episodes(kind, learn_from):
  episodes, done = some_episodes.make(kind)
  for share in 1.0, 0.0:
    examples, keep = TO_EXAMPLES(
      episodes,
      done,
      jax.random.key(0),
      discount=DISCOUNT,
      learn_from=learn_from,
      failure_share=share,
    )
    expected = expected_examples(
      kind, episodes, done, learn_from, keep_failures=share == 1.0
    )
    assert len(keep) == len(expected) == E * (D if kind == "reset" else 1)
    for row, (context, states) in enumerate(expected):
      np.testing.assert_array_equal(examples.context[row], context)
      assert keep[row] == any(s["keep"] for s in states)
      assert examples.ends.shape[1] == len(states)
      for s, state in enumerate(states):
        assert examples.ends[row, s] == state["end"]
        np.testing.assert_array_equal(
          examples.candidates[row, s], state["candidates"]
        )
        np.testing.assert_array_equal(
          examples.lengths[row, s], state["lengths"]
        )
        np.testing.assert_allclose(examples.weights[row, s], state["weights"])
        np.testing.assert_allclose(
          examples.values[row, s], state["value"], rtol=1e-6
        )
        assert examples.mask[row, s] == state["mask"]
    assert 0 < np.sum(keep) < len(keep)


def test_a_share_of_the_failures_is_kept():
  episodes, done = some_episodes.make("reset", lead=(4000,))
  counts = {}
  for share in 0.0, 0.25, 1.0:
    examples, keep = TO_EXAMPLES(
      episodes,
      done,
      jax.random.key(0),
      discount=DISCOUNT,
      learn_from="solved",
      failure_share=share,
    )
    has_policy = np.sum(examples.weights[:, 0], axis=-1) > 0
    keep = np.asarray(keep)
    counts[share] = (keep & has_policy).sum(), (keep & ~has_policy).sum()
  assert counts[0.0][0] == counts[0.25][0] == counts[1.0][0] > 0
  assert counts[0.0][1] == 0
  np.testing.assert_allclose(counts[0.25][1] / counts[1.0][1], 0.25, atol=0.03)


def test_values_are_lambda_returns():
  episodes, done = some_episodes.make("reset")
  run = unoptimized.jit(
    functools.partial(replay.to_examples, discount=DISCOUNT, td_lambda=0.8)
  )
  examples, _ = run(episodes, done, jax.random.key(0))
  values = np.asarray(examples.values).reshape(*done.shape, D)
  for i in np.ndindex(done.shape):
    n, solved = int(episodes.num_steps[i]), float(episodes.solved[i])
    assert values[i][n] == solved  # of the terminal state
    later = 0.0
    for t in reversed(range(n)):
      ahead = 0.0 if t + 1 == n else float(episodes.root_values[i][t + 1])
      later = solved * (t + 1 == n) + DISCOUNT * (0.2 * ahead + 0.8 * later)
      np.testing.assert_allclose(values[i][t], later, rtol=1e-5)
