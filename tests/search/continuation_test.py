"""A text that is gone on with, against the whole of it passed every time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import random_transformer
import unoptimized

from alphallm.search import continuation

SHAPE = random_transformer.shape(16, 24, num_layers=2)
APPLY, PARAMS = random_transformer.make(SHAPE, scale=0.3)


def test_the_most_probable_tokens():
  rng = np.random.default_rng(0)
  texts = rng.integers(1, 24, (5, 9))
  begins = np.array([1, 4, 9, 7, 2])
  write = functools.partial(continuation.greedy, APPLY, PARAMS)
  each = unoptimized.jit(jax.vmap(lambda *x: write(*x, 6)))
  found = each(jnp.asarray(texts), jnp.asarray(begins))
  for text, begin, written in zip(texts, begins, found, strict=True):
    wanted = list(text[:begin])
    for _ in range(6):
      places = jnp.arange(len(wanted))[None, None]
      output = APPLY(PARAMS, jnp.asarray(wanted)[None, None], places)
      wanted.append(int(jnp.argmax(output.logits[0, 0, -1])))
    assert wanted[begin:] == written.tolist()
