"""Tests of keys and values in eight bits, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.models import attention, int8

B, HEADS, TOKENS, WIDTH = 2, 3, 5, 8


def some_kv(dtype):
  rng = np.random.default_rng(0)
  keys = rng.normal(size=(B, HEADS, WIDTH, TOKENS))
  values = rng.normal(size=(B, HEADS, TOKENS, WIDTH)) * 50
  values[0, 0, 0] = 0  # a token of nothing
  kv = attention.KeysValues(keys=keys, values=values)
  return jax.tree.map(lambda x: jnp.asarray(x, dtype), (kv,))


@pytest.mark.parametrize("dtype, rounding", [("float32", 0), ("bfloat16", 8)])
def test_no_number_is_off_by_more_than_half_a_step(dtype, rounding):
  kv = some_kv(dtype)
  packed = int8.pack(kv)
  found = int8.unpack(packed)
  assert int8.is_packed(packed) and not int8.is_packed(found)
  (pair,), (near,), (few,) = kv, found, packed
  for name, features in ("keys", -2), ("values", -1):
    x = np.asarray(pair[name], np.float64)
    assert few[name].numbers.dtype == np.int8
    assert few[name].scales.shape == (B, HEADS, TOKENS)
    assert few[name].scales.dtype == near[name].dtype == jnp.dtype(dtype)
    step = np.max(np.abs(x), axis=features, keepdims=True) / 127
    off = np.abs(np.asarray(near[name], np.float64) - x)
    bound = step / 2 + (np.abs(x) + step) * 2.0**-rounding * (rounding > 0)
    assert np.all(off <= bound + 1e-5 * step)
    assert off.max() > 0
  assert not np.asarray(near.values[0, 0, 0]).any()


def test_tokens_are_put_as_they_are():
  packed = int8.pack(some_kv("float32"))
  room = attention.empty(packed, TOKENS + 4)
  places = jnp.broadcast_to(jnp.arange(TOKENS) + 3, (B, TOKENS))
  (held,) = attention.put(room, packed, places)
  assert attention.num_tokens(room) == TOKENS + 4
  there = slice(3, 3 + TOKENS)
  (few,) = packed
  np.testing.assert_array_equal(held.keys.numbers[..., there], few.keys.numbers)
  np.testing.assert_array_equal(held.keys.scales[..., there], few.keys.scales)
  np.testing.assert_array_equal(
    held.values.numbers[..., there, :], few.values.numbers
  )
  assert not np.asarray(held.values.scales[..., :3]).any()


def test_what_is_no_floating_point_number_stays():
  tokens = (jnp.arange(6).reshape(1, 3, 2),)
  assert int8.pack(tokens)[0] is tokens[0]
