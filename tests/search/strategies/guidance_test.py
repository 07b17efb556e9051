"""Guidance and selection against their definitions, in NumPy."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_task

from alphallm import types
from alphallm.search import guidance
from alphallm.search.strategies import paths, selection
from alphallm.search.truncation import IMPOSSIBLE

B, W, D = 3, 7, 2


def path_like(seed=0, **fields):
  rng = np.random.default_rng(seed)
  shape = B, W
  state = types.State(
    legal=np.ones(shape, bool),
    observation=np.zeros((*shape, 1), np.int32),
    observation_length=np.ones(shape, np.int32),
    terminated=rng.random(shape) < 0.5,
    truncated=np.zeros(shape, bool),
    reward=rng.random(shape).astype(np.float32),
    fingerprint=rng.integers(0, 4, shape).astype(np.uint32),
    held_out=np.zeros(shape, bool),
    inner=(),
  )
  path = paths.Path(
    state=state,
    tokens=rng.integers(4, 9, (*shape, D, 3)),
    lengths=rng.integers(0, 4, (*shape, D)),
    num_steps=np.full(shape, D),
    log_prob=-5 * rng.random(shape).astype(np.float32),
    value=rng.random(shape).astype(np.float32),
    belief=rng.random(shape).astype(np.float32),
    answer=rng.integers(0, 3, shape).astype(np.uint32),
    score=rng.normal(size=shape).astype(np.float32),
    over=state.terminated,
  )
  return jax.tree.map(jnp.asarray, path.replace(**fields))


def num_tokens(path):
  return np.maximum(np.asarray(path.lengths).sum(-1), 1)


def test_probabilities():
  path = path_like()
  log_prob = np.asarray(path.log_prob, np.float64)
  for power in 0.0, 0.5, 1.0:
    np.testing.assert_allclose(
      guidance.log_prob(power).score(path),
      log_prob / num_tokens(path) ** power,
      rtol=1e-5,
    )
  np.testing.assert_allclose(
    guidance.likelihood().score(path),
    np.exp(log_prob / num_tokens(path)),
    rtol=1e-5,
  )


def test_rewards():
  path = path_like()
  over, reward = np.asarray(path.over), np.asarray(path.state.reward)
  np.testing.assert_array_equal(
    guidance.checker().score(path), np.where(over, reward, 0)
  )
  first = lambda one: one.tokens[0, 0] / 10
  whole, partial = (
    guidance.outcome(first, of_partial=p).score(path) for p in (False, True)
  )
  wanted = np.asarray(path.tokens)[:, :, 0, 0] / 10
  np.testing.assert_allclose(partial, wanted, rtol=1e-6)
  np.testing.assert_allclose(whole, np.where(over, wanted, 0), rtol=1e-6)


def test_answers_are_counted():
  path = path_like()
  shares = guidance.self_consistency().score(path)
  means = guidance.semantic_entropy().score(path)
  entropy = guidance.entropy(path)
  for row in range(B):
    answers = np.asarray(path.answer[row]).tolist()
    given = [a for a in answers if a]
    votes = collections.Counter(given)
    np.testing.assert_allclose(
      shares[row], [votes[a] / len(given) if a else 0 for a in answers]
    )
    p = np.exp(np.asarray(path.log_prob[row]) / num_tokens(path)[row])
    p = np.where(np.array(answers) > 0, p, 0)
    classes = {a: (p[np.array(answers) == a] / p.sum()).sum() for a in votes}
    np.testing.assert_allclose(
      means[row], [classes.get(a, 0.0) for a in answers], rtol=1e-5
    )
    wanted = -sum(c * np.log(c) for c in classes.values())
    np.testing.assert_allclose(entropy[row], wanted, rtol=1e-5)


def test_without_answers_nothing_is_consistent():
  path = path_like(answer=np.zeros((B, W), np.uint32))
  for guide in guidance.self_consistency(), guidance.semantic_entropy():
    assert not np.any(guide.score(path))
  assert not np.any(guidance.entropy(path))


def test_a_mix_needs_what_its_parts_need():
  mixed = guidance.mix((0.25, guidance.value()), (0.75, guidance.checker()))
  path = path_like()
  np.testing.assert_allclose(
    mixed.score(path),
    0.25 * path.value + 0.75 * guidance.checker().score(path),
    rtol=1e-6,
  )
  assert mixed.name == "0.25*value+0.75*checker"
  assert mixed.needs_value and mixed.needs_checker and mixed.is_share
  assert not mixed.needs_end and not mixed.needs_answer
  assert guidance.mix((1.0, guidance.checker())).needs_end
  assert not guidance.mix((2.0, guidance.value())).is_share
  assert not guidance.mix((0.5, guidance.log_prob())).is_share
  with pytest.raises(ValueError, match="at least one"):
    guidance.mix()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 10.0])
def test_the_budget_is_spent_in_proportion(temperature):
  for seed in range(4):
    path = path_like(seed)
    dead = np.random.default_rng(seed).random((B, W)) < 0.3
    path = paths.reject(path, jnp.asarray(dead))
    index, empty = selection.in_proportion(
      path, width=W, temperature=temperature
    )
    for row in range(B):
      counts = collections.Counter(
        int(i) for i, no in zip(index[row], empty[row], strict=True) if not no
      )
      finished = np.flatnonzero(path.finished[row])
      open_ = np.flatnonzero(path.lives[row] & ~path.over[row])
      assert set(counts) <= {*finished, *open_}
      assert all(counts[i] == 1 for i in finished)
      budget = W - len(finished)
      assert sum(counts.values()) == (W if len(open_) else len(finished))
      score = np.asarray(path.score[row])[open_] / temperature
      share = budget * np.exp(score - np.logaddexp.reduce(score))
      for i, wanted in zip(open_, share, strict=True):
        assert abs(counts[i] - wanted) < 1 + 1e-4


def test_of_equal_states_the_best_is_kept():
  path = path_like(
    1, score=jnp.tile(jnp.array([1, 2, 2, 0, 1, 2, 1.0]), (B, 1))
  )
  path = paths.reject(path, jnp.arange(W)[None] == 1)
  kept = np.asarray(paths.unlike(path))
  for row in range(B):
    prints = np.asarray(path.state.fingerprint[row])
    score = np.asarray(path.score[row])
    for i in range(W):
      same = np.flatnonzero((prints == prints[i]) & (score > IMPOSSIBLE / 2))
      best = max(same, key=lambda j: (score[j], -j), default=None)
      assert kept[row, i] == (i == best)


def test_the_weakest_under_way_are_given_up():
  path = path_like(2)
  _, given_up = selection.all_but_weakest(path, share=0.5)
  for row in range(B):
    weakest = np.argsort(np.asarray(path.score[row]))[:3]  # of 7
    wanted = [i in weakest and not path.over[row, i] for i in range(W)]
    assert np.asarray(given_up[row]).tolist() == wanted


def test_self_evaluation_needs_its_answers_as_tokens():
  words = toy_task.TOKENIZER
  with pytest.raises(ValueError, match="self_evaluation: ' Yes' is not"):
    guidance.self_evaluation(words)
  with pytest.raises(ValueError, match="self_evaluation: 'Sure.' cannot be"):
    guidance.self_evaluation(words, "Sure?", yes="a", no="b")
  sure = guidance.self_evaluation(words, "c", yes="a", no="b")
  task = toy_task.Walk("reset")
  with pytest.raises(ValueError, match="self_evaluation: the context of walk"):
    guidance.check("vote", sure, task, "rules", of_partial=False)
  other = guidance.self_evaluation(words, "d", yes="a", no="b")
  assert guidance.mix((0.5, sure), (0.5, sure)).question == sure.question
  with pytest.raises(ValueError, match="one question"):
    guidance.mix((0.5, sure), (0.5, other))
