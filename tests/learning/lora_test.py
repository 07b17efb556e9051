"""Low-rank adaptation against training its factors outright."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from alphallm.learning import lora

RNG = np.random.default_rng(0)
PARAMS = {
  "layer": {
    "kernel": RNG.normal(size=(6, 5)).astype(np.float32),
    "bias": RNG.normal(size=5).astype(np.float32),
  },
  "value_head": {"kernel": RNG.normal(size=(5, 1)).astype(np.float32)},
}
X = RNG.normal(size=(8, 6)).astype(np.float32)
SCALE = 2.0


def forward(params):
  hidden = jnp.tanh(
    X @ params["layer"]["kernel"] + params["layer"]["bias"][None]
  )
  return jnp.mean(jnp.square(hidden @ params["value_head"]["kernel"] - 1.0))


def test_equals_training_the_factors():
  tx = lora.lora(optax.adam(0.05), 2, scale=SCALE)
  params, state = PARAMS, tx.init(PARAMS)
  (a, b) = next(x for x in state.factors if isinstance(x, tuple))
  assert not np.any(b) and a.shape == (6, 2)

  def of_factors(trained):
    kernel = PARAMS["layer"]["kernel"] + SCALE * trained["a"] @ trained["b"]
    return forward(
      {
        "layer": {**PARAMS["layer"], "kernel": kernel},
        "value_head": {"kernel": trained["head"]},
      }
    )

  trained = {"a": a, "b": b, "head": PARAMS["value_head"]["kernel"]}
  adam = optax.adam(0.05)
  adam_state, losses = adam.init(trained), []

  @jax.jit
  def step(params, state, trained, adam_state):
    grads = jax.grad(forward)(params)
    updates, state = tx.update(grads, state, params)
    direct = jax.grad(of_factors)(trained)
    changes, adam_state = adam.update(direct, adam_state)
    trained = optax.apply_updates(trained, changes)
    return optax.apply_updates(params, updates), state, trained, adam_state

  for _ in range(20):
    losses.append(float(forward(params)))
    params, state, trained, adam_state = step(
      params, state, trained, adam_state
    )
    np.testing.assert_allclose(
      forward(params), of_factors(trained), rtol=1e-3, atol=1e-5
    )
  assert losses[-1] < 0.5 * losses[0]
  np.testing.assert_array_equal(
    params["layer"]["bias"], PARAMS["layer"]["bias"]
  )
  change = params["layer"]["kernel"] - PARAMS["layer"]["kernel"]
  assert np.linalg.matrix_rank(change, tol=1e-4) == 2
  sizes = [x.size for x in jax.tree.leaves(state.inner)]
  assert sum(sizes) == 2 * (6 * 2 + 2 * 5 + 5) + 1  # two moments and a count
