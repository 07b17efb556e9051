"""Losses against their formulas in float64, gradients by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.rewards import losses

RNG = np.random.default_rng(0)


def log_sigmoid(x):
  return -np.log1p(np.exp(-x))


def cross_entropy(logits, labels):
  return -labels * log_sigmoid(logits) - (1 - labels) * log_sigmoid(-logits)


def check(ours, oracle, x):
  """Compare a loss of `x` and its gradient with those of the oracle."""
  loss, grad = jax.value_and_grad(ours)(jnp.float32(x))
  np.testing.assert_allclose(loss, oracle(x), rtol=2e-5)
  expected = np.zeros_like(x)
  for i in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[i] = 1e-6
    expected[i] = (oracle(x + step) - oracle(x - step)) / 2e-6
  np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-6)


def test_outcome_cross_entropy():
  solved = np.array([1.0, 0.0, 0.0, 1.0])
  check(
    lambda x: losses.outcome_cross_entropy(x, solved > 0),
    lambda x: cross_entropy(x, solved).mean(),
    RNG.normal(size=4) * 3,
  )


@pytest.mark.parametrize("hard", [True, False])
def test_process_cross_entropy(hard):
  labels = RNG.random((3, 4))
  labels = np.round(labels) if hard else labels
  mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
  check(
    lambda x: losses.process_cross_entropy(x, labels, mask),
    lambda x: (cross_entropy(x, labels) * mask).sum() / 6,
    RNG.normal(size=(3, 4)) * 3,
  )
  nothing = losses.process_cross_entropy(
    jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.zeros((1, 2))
  )
  assert nothing == 0


def test_bradley_terry():
  check(
    lambda x: losses.bradley_terry(x[0], x[1]),
    lambda x: -log_sigmoid(x[0] - x[1]).mean(),
    RNG.normal(size=(2, 5)) * 3,
  )
  mask = np.array([1, 0, 1, 1, 0])
  check(
    lambda x: losses.bradley_terry(x[0], x[1], mask),
    lambda x: -(log_sigmoid(x[0] - x[1]) * mask).sum() / 3,
    RNG.normal(size=(2, 5)),
  )


def test_process_preference_is_over_all_pairs_of_siblings():
  right = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
  wrong = np.array([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]], bool)

  def oracle(x):
    states = []
    for row in range(2):  # the third has no pair
      pairs = [
        -log_sigmoid(x[row, i] - x[row, j])
        for i in np.flatnonzero(right[row])
        for j in np.flatnonzero(wrong[row])
      ]
      states.append(np.mean(pairs))
    return np.mean(states)

  ours = lambda x: losses.process_preference(x, right, wrong)
  check(ours, oracle, RNG.normal(size=(3, 4)) * 2)


def test_inverse_q():
  mask = np.array([[1, 1, 0], [1, 1, 1]])
  discount, alpha = 0.9, 0.3

  def oracle(x):
    chosen, value, after = x
    r = chosen - discount * after
    each = r - r**2 / (4 * alpha) - (value - discount * after)
    return -(each * mask).sum() / 5

  ours = lambda x: losses.inverse_q(*x, mask, discount=discount, alpha=alpha)
  check(ours, oracle, RNG.normal(size=(3, 2, 3)))


def test_inverse_q_prefers_what_the_expert_does():
  """A table of Q: at each of 2 states the expert takes action 1."""
  q = jnp.zeros((2, 3))

  def loss(q):
    value = jax.nn.logsumexp(q, axis=-1)
    after = jnp.stack([value[1], jnp.zeros(())])
    return losses.inverse_q(
      q[None, :, 1], value[None], after[None], jnp.ones((1, 2))
    )

  step = jax.jit(jax.grad(loss))
  for _ in range(500):
    q = q - 0.1 * step(q)
  np.testing.assert_array_equal(jnp.argmax(q, axis=-1), [1, 1])
  after = jnp.array([jax.nn.logsumexp(q[1]), 0.0])
  rewards = losses.expert_reward(q, after[:, None], 1.0)
  assert np.all(rewards[:, 1:2] > rewards[:, ::2])
