"""Computed rewards against NumPy, and shaping against planning."""

import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.rewards import formulas

RNG = np.random.default_rng(0)
DISCOUNT = 0.9
# A small MDP: from 4 states, 3 moves each; states 4 and 5 are ends. The near
# end pays 1, the far one 2.
TO = np.array([[1, 2, 0], [4, 3, 0], [3, 0, 2], [5, 1, 3]])
REWARDS = np.where(TO == 4, 1.0, np.where(TO == 5, 2.0, -0.1))
IS_END = np.arange(6) >= 4


def best_moves(rewards):
  """Plan by value iteration; the best moves of each state."""
  values = np.zeros(6)
  for _ in range(500):
    q = rewards + DISCOUNT * values[TO]
    values[:4] = q.max(axis=1)
  return q >= q.max(axis=1, keepdims=True) - 1e-4


def reshaped(potential, is_end):
  return np.asarray(
    formulas.shaped(
      REWARDS,
      np.broadcast_to(potential[:4, None], TO.shape),
      potential[TO],
      is_end[TO],
      discount=DISCOUNT,
    ),
    np.float64,
  )


@pytest.mark.parametrize("seed", range(5))
def test_shaping_leaves_the_best_moves_as_they_are(seed):
  potential = np.random.default_rng(seed).normal(size=6) * 3
  np.testing.assert_allclose(
    reshaped(potential, IS_END),
    REWARDS
    + DISCOUNT * np.where(IS_END, 0, potential)[TO]
    - potential[:4, None],
    rtol=1e-5,
  )
  np.testing.assert_array_equal(
    best_moves(reshaped(potential, IS_END)), best_moves(REWARDS)
  )


def test_a_potential_at_the_end_changes_what_is_best():
  potential = np.where(np.arange(6) == 4, 5.0, 0.0)
  wrong = reshaped(potential, np.zeros(6, bool))
  assert np.any(best_moves(wrong) != best_moves(REWARDS))
  np.testing.assert_array_equal(
    best_moves(reshaped(potential, IS_END)), best_moves(REWARDS)
  )


def test_shaped_steps_add_up_to_the_return_less_the_first_potential():
  rewards, potentials = RNG.random((3, 4)), RNG.random((3, 5))
  num_steps = np.array([4, 2, 1])
  found = formulas.shaped_steps(
    rewards, potentials, num_steps, discount=DISCOUNT
  )
  for row, n in enumerate(num_steps):
    weights = DISCOUNT ** np.arange(n)
    wanted = (weights * rewards[row, :n]).sum() - potentials[row, 0]
    np.testing.assert_allclose(
      (weights * np.asarray(found)[row, :n]).sum(), wanted, rtol=1e-5
    )
    assert not np.any(found[row, n:])


def test_implicit():
  policy, reference = RNG.normal(size=(2, 3, 4))
  np.testing.assert_allclose(
    formulas.implicit(policy, reference, beta=0.3),
    0.3 * (policy - reference),
    rtol=1e-5,
  )


def test_token_confidence():
  logits = RNG.normal(size=(2, 3, 9)) * 2
  tokens = np.argsort(logits, axis=-1)[..., [-1]][..., 0]
  tokens[0, 1] = np.argsort(logits[0, 1])[-4]
  mask = np.array([[1, 1, 0], [1, 1, 1]])
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  wanted = []
  for row in range(2):
    each = [
      probs[row, t, tokens[row, t]] / np.sort(probs[row, t])[-5:].sum()
      for t in range(mask[row].sum())
    ]
    wanted.append(np.mean(each))
  found = formulas.token_confidence(jnp.float32(logits), tokens, mask)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  assert (
    formulas.token_confidence(jnp.float32(logits), tokens, 0 * mask)[0] == 0
  )


def test_verdict():
  logits = RNG.normal(size=(3, 7))
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  yes, no = probs[:, [1, 4]].sum(-1), probs[:, 2]
  np.testing.assert_allclose(
    formulas.verdict(jnp.float32(logits), (1, 4), (2,)),
    yes / (yes + no),
    rtol=1e-5,
  )


def test_a_pairwise_judge_who_prefers_what_stands_first():
  """The order cancels out: what is better wins more."""
  worth = np.array([0.1, 0.9, 0.5])
  fair = 1 / (1 + np.exp(-4 * (worth[:, None] - worth[None])))
  first = np.clip(fair + 0.3, 0, None)  # i before j
  second = fair - 0.3  # j before i
  found = formulas.pairwise_judge(jnp.float32(first), jnp.float32(second))
  wanted = [(fair[i].sum() - fair[i, i]) / 2 for i in range(3)]
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
