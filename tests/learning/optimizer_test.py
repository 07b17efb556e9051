"""Tests of what a step is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alphallm.learning import optimizer


def test_the_rate_warms_up_and_decays():
  """Of a constant gradient Adam's step is the rate, exactly."""
  config = optimizer.OptimizerConfig(
    learning_rate=0.1,
    warmup_steps=4,
    decay_steps=12,
    final_rate=0.1,
    weight_decay=0.0,
  )
  tx = optimizer.make_tx(config)
  params = {"w": jnp.zeros(3)}
  opt_state = tx.init(params)
  rates = []
  for _ in range(16):
    updates, opt_state = tx.update({"w": jnp.full(3, 0.2)}, opt_state, params)
    rates.append(-float(updates["w"][0]))
  warm = [0.1 * i / 4 for i in range(4)]
  share = [0.5 * (1 + np.cos(np.pi * i / 8)) for i in range(8)]
  decay = [0.1 * (0.9 * x + 0.1) for x in share]
  np.testing.assert_allclose(rates, warm + decay + [0.01] * 4, rtol=1e-4)


def test_the_value_head_has_a_rate_of_its_own():
  config = optimizer.OptimizerConfig(
    learning_rate=0.1, warmup_steps=0, weight_decay=0.0, value_rate=5.0
  )
  tx = optimizer.make_tx(config)
  params = {"params": {"value_head": {"w": jnp.ones(2)}, "x": jnp.ones(2)}}
  updates, _ = tx.update(params, tx.init(params), params)
  found = updates["params"]
  np.testing.assert_allclose(found["x"], -0.1, rtol=1e-4)
  np.testing.assert_allclose(found["value_head"]["w"], -0.5, rtol=1e-4)


def test_gradients_are_clipped_and_weights_decay():
  config = optimizer.OptimizerConfig(
    learning_rate=0.1, warmup_steps=1, clip_norm=1.0, weight_decay=0.5
  )
  tx = optimizer.make_tx(config)
  params = {"w": jnp.array([2.0, -4.0])}
  opt_state = tx.init(params)
  zeros = jax.tree.map(jnp.zeros_like, params)
  _, opt_state = tx.update(zeros, opt_state, params)  # the rate is 0 here
  updates, _ = tx.update(zeros, opt_state, params)
  np.testing.assert_allclose(updates["w"], [-0.1, 0.2], rtol=1e-5)
  _, opt_state = tx.update({"w": jnp.array([30.0, 40.0])}, opt_state, params)
  (mean,) = [
    x
    for x in jax.tree.leaves(
      optax.tree_utils.tree_get(opt_state, "mu"), is_leaf=lambda x: False
    )
  ]
  np.testing.assert_allclose(mean, 0.1 * np.array([0.6, 0.8]), rtol=1e-5)


def test_what_is_unknown_is_refused():
  with pytest.raises(ValueError, match="optimizer='sgd' is none of adamw"):
    optimizer.OptimizerConfig(optimizer="sgd")
  with pytest.raises(ValueError, match="moment_dtype='int8' is none of float"):
    optimizer.OptimizerConfig(moment_dtype="int8")
