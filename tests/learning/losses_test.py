import jax
import jax.numpy as jnp
import numpy as np

from alphallm.learning import losses

RNG = np.random.default_rng(0)


def gradient(f, x, eps=1e-6):
  """Return the gradient of `f` at `x` by central differences, in float64."""
  grad = np.zeros_like(x)
  for i in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[i] = eps
    grad[i] = (f(x + step) - f(x - step)) / (2 * eps)
  return grad


def test_policy_cross_entropy():
  log_probs = np.log(RNG.dirichlet(np.ones(5), size=(3, 4)))
  weights = RNG.dirichlet(np.ones(5), size=(3, 4))
  weights[0, 0] = 0  # nothing to learn
  weights[1, 1] = np.eye(5)[2]  # a solved path
  log_probs[1, 1, 0] = -1e9  # an impossible step, without weight

  def loss(x):
    return -np.where(weights > 0, weights * x, 0.0).sum(-1)

  found = losses.policy_cross_entropy(
    np.float32(log_probs), np.float32(weights)
  )
  np.testing.assert_allclose(found, loss(log_probs), rtol=1e-5)
  assert found[0, 0] == 0
  np.testing.assert_allclose(found[1, 1], -log_probs[1, 1, 2], rtol=1e-5)
  grad = jax.grad(
    lambda x: losses.policy_cross_entropy(x, np.float32(weights)).sum()
  )(np.float32(log_probs))
  log_probs[1, 1, 0] = -9.0
  expected = gradient(lambda x: loss(x).sum(), log_probs)
  np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)


def test_weightless_infinities_do_not_spoil_the_loss():
  log_probs = jnp.float32([-np.inf, -1.0])
  weights = np.float32([0.0, 1.0])
  assert losses.policy_cross_entropy(log_probs, weights) == 1.0


def test_value_cross_entropy():
  logits = RNG.normal(size=(3, 7)) * 5
  targets = RNG.random((3, 7))
  targets[0, :2] = 0, 1

  def loss(x):
    p = 1 / (1 + np.exp(-x))
    return -targets * np.log(p) - (1 - targets) * np.log1p(-p)

  found = losses.value_cross_entropy(np.float32(logits), np.float32(targets))
  np.testing.assert_allclose(found, loss(logits), rtol=1e-5, atol=1e-6)
  grad = jax.grad(
    lambda x: losses.value_cross_entropy(x, np.float32(targets)).sum()
  )(np.float32(logits))
  expected = gradient(lambda x: loss(x).sum(), logits)
  np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-6)
  # Sure and right costs nothing, sure and wrong is finite.
  sure = losses.value_cross_entropy(
    np.float32([99, -99, 99]), np.float32([1, 0, 0])
  )
  np.testing.assert_allclose(sure, [0, 0, 99], atol=1e-6)


def test_weighted_mean():
  x, mask = np.float32([[1, 2], [3, 5]]), np.array([[1, 0], [1, 1]])
  assert losses.weighted_mean(x, mask) == 3.0
  assert losses.weighted_mean(x, mask > 0) == 3.0
  assert losses.weighted_mean(x, np.zeros((2, 2))) == 0.0


def test_kl_divergence():
  p, q = np.random.default_rng(1).dirichlet(np.ones(6), size=(2, 3))
  found = losses.kl_divergence(np.log(p), np.log(q))
  wanted = np.sum(p * np.log(p / q), axis=-1)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  assert np.all(losses.kl_divergence(np.log(p), np.log(p)) == 0)
