import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.checkpoint import leaves

STATE = {
  "params": (jnp.arange(3.0), {"scale": jnp.bfloat16(2)}),
  "key": jax.random.key(1, impl="rbg"),
  "empty": jnp.zeros((0, 4)),
  "count": 7,
}


def test_what_is_saved_fills_the_state():
  named = leaves.flatten(STATE)
  assert list(named) == ["count", "empty", "key", "params.0", "params.1.scale"]
  saved = leaves.to_save(named)
  assert saved.keys() == named.keys() - {"empty"}
  read = leaves.to_read(named)
  assert leaves.describe(saved) == leaves.describe(read)
  filled = leaves.fill(jax.eval_shape(lambda: STATE) | {"count": 0}, saved)
  assert leaves.describe(leaves.flatten(filled)) == leaves.describe(named)
  np.testing.assert_array_equal(
    jax.random.key_data(filled.pop("key")), jax.random.key_data(STATE["key"])
  )
  expected = {name: x for name, x in STATE.items() if name != "key"}
  jax.tree.map(np.testing.assert_array_equal, filled, expected)


def test_arrays_of_the_host_are_copied():
  array = np.ones(2)
  saved = leaves.to_save({"x": array})
  array[:] = 0
  assert saved["x"].tolist() == [1, 1]


def test_two_leaves_may_not_share_a_path():
  with pytest.raises(ValueError, match="have the path a.b"):
    leaves.flatten({"a.b": 1, "a": {"b": 2}})


def test_misfits_are_told_in_words():
  saved = leaves.describe({"x": jnp.zeros(3), "y": jnp.int32(0)})
  assert not leaves.misfits(
    saved, {"x": jnp.ones(3), "y": jnp.int32(1)}, partial=False
  )
  wanted = {"x": jnp.zeros((3, 1)), "z": jnp.zeros(2)}
  assert leaves.misfits(saved, wanted, partial=False) == [
    "x is float32[3] in it, float32[3,1] here",
    "z is not in it",
    "y is in it but not in the state to fill",
  ]
  assert len(leaves.misfits(saved, wanted, partial=True)) == 2
