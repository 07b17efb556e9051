"""Keys and values of a decoding lie where they are, and are not copied."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer

from alphallm.models import attention
from alphallm.search import candidates


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("paths", [None, 2])
def test_no_token_copies_the_keys_of_the_others(distinct, paths):
  """Those of a loop are written in place, under a `vmap` over paths, too."""
  shape = random_transformer.shape(8, 11, num_layers=2)
  apply_fn, params = random_transformer.make(shape, scale=0.5)
  k, room, batch = 3, 29, 5
  lead = (batch,) if paths is None else (paths, batch)

  def decode(params, keys, logits, kv):
    prompt = attention.Segment(kv=kv, mask=jnp.ones((batch, 1, 1, 4), bool))
    return candidates.sample(
      apply_fn,
      params,
      keys,
      logits,
      jnp.full((batch,), 4),
      [prompt],
      num_candidates=k,
      max_step_tokens=room + 1,
      stop_ids=(2,),
      distinct=distinct,
    )

  if paths is not None:
    decode = jax.vmap(decode, (None, 0, 0, 0))
  one = attention.KeysValues(
    keys=np.zeros((*lead, 1, 4, 4)), values=np.zeros((*lead, 1, 4, 4))
  )
  keys = jax.random.split(jax.random.key(0), lead)
  text = (
    jax.jit(decode)
    .lower(params, keys, np.zeros((*lead, 11)), (one, one))
    .compile()
    .as_text()
  )
  in_loops, _, _ = text.partition("\nENTRY")
  places = room * k if distinct else room
  of_all = re.compile(rf"%(\S+) = f32\[[\d,]*\b{places}\b[\d,]*\]\S* (\S+)\(")
  found = of_all.findall(in_loops)
  assert any("dynamic-update-slice" in name for name, _ in found)
  assert not [name for name, kind in found if kind == "copy"]
