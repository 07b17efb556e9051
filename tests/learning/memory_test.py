"""What needs less memory, against what it stands for."""

import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import scored
import unoptimized

from alphallm.learning import alphazero, learner, optimizer
from alphallm.models import transformer

OBJECTIVE = alphazero.AlphaZero()


def test_parts_of_a_batch_give_its_gradient():
  parts = [scored.some_batch(seed=seed) for seed in range(2)]
  batch = jax.tree.map(lambda *x: np.concatenate(x), *parts)
  batch = batch.replace(
    mask=np.ones_like(batch.mask),
    weights=np.full_like(batch.weights, 1 / scored.J),
  )
  loss_fn = functools.partial(OBJECTIVE.loss, fake_model.apply_fn)
  of = unoptimized.jit(
    functools.partial(learner.gradients, loss_fn), static_argnums=2
  )
  whole, cut = (of(scored.PARAMS, batch, parts) for parts in (1, 3))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_layers_passed_again_give_the_same_gradient():
  grads = []
  for remat in (False, True):
    config = transformer.TransformerConfig(
      vocab_size=scored.V,
      num_layers=2,
      embed_dim=16,
      num_heads=2,
      num_kv_heads=1,
      head_dim=8,
      mlp_dim=16,
      remat=remat,
    )
    apply_fn, params = random_transformer.make(config, scale=0.4)
    loss = lambda params, f=apply_fn: OBJECTIVE.loss(
      f, params, scored.some_batch()
    )[0]
    text = str(jax.make_jaxpr(jax.grad(loss))(params))
    assert ("remat" in text or "checkpoint" in text) == remat
    grads.append(unoptimized.jit(jax.grad(loss))(params))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *grads
  )


@pytest.mark.parametrize(
  "options, share",
  [
    ({}, 2.0),  # of the parameters: both moments
    ({"moment_dtype": "bfloat16"}, 1.5),
    ({"optimizer": "adafactor"}, 1.02),
    ({"optimizer": "adafactor", "moment_dtype": "bfloat16"}, 0.52),
    ({"lora_rank": 2}, 0.04),
  ],
)
def test_states_of_optimizers(options, share):
  config = learner.LearnerConfig(
    learning_rate=0.05, warmup_steps=0, weight_decay=0.0, **options
  )
  tx = optimizer.make_tx(config)
  params = {"kernel": jnp.ones((256, 512)) / 256}
  state = learner.init(tx, params)
  size = lambda tree: sum(x.nbytes for x in jax.tree.leaves(tree))
  factors = 2 * (256 + 512) * 4 if options.get("lora_rank") else 0
  held = size(state.opt_state) - factors  # the factors are parameters
  assert held <= share * size(params) + 64
  x = np.random.default_rng(0).normal(size=(32, 256)).astype(np.float32)
  loss = lambda params: jnp.mean(jnp.square(x @ params["kernel"] - 1.0))

  @unoptimized.jit
  def step(params, opt_state):
    grads = jax.grad(loss)(params)
    updates, opt_state = tx.update(grads, opt_state, params)
    return jax.tree.map(jnp.add, params, updates), opt_state

  opt_state = state.opt_state
  before = loss(params)
  for _ in range(30):
    params, opt_state = step(params, opt_state)
  assert loss(params) < 0.7 * before
