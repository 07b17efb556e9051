"""An environment for tests of trees: a walk among 97 places."""

import jax.numpy as jnp
import mctx
import numpy as np

B, K, PLACES = 4, 5, 97
_RNG = np.random.default_rng(0)
PRIORS = _RNG.normal(size=(PLACES, K)).astype(np.float32)
VALUES, REWARDS = _RNG.random((2, PLACES)).astype(np.float32)
INVALID = np.zeros((B, K), bool)
INVALID[1, [0, 3]] = INVALID[2, 1:] = True


def step(params, rng_key, action, place):
  """Take a step, as mctx's `recurrent_fn`; one place in seven is an end."""
  del params, rng_key
  place = (5 * place + action + 1) % PLACES
  is_end = place % 7 == 0
  output = mctx.RecurrentFnOutput(
    reward=jnp.where(is_end, jnp.asarray(REWARDS)[place], 0.0),
    discount=jnp.where(is_end, 0.0, 0.9),
    prior_logits=jnp.asarray(PRIORS)[place],
    value=jnp.where(is_end, 0.0, jnp.asarray(VALUES)[place]),
  )
  return output, place
