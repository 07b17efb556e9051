import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import unoptimized

from alphallm.models import attention, rope

B, K, S, H, G, D = 2, 3, 4, 4, 2, 6
ATTEND = unoptimized.jit(attention.attend)


def draw(*shape, seed=0):
  return np.random.default_rng([seed, *shape]).normal(size=shape)


def pair(*shape, seed=0):
  """Return keys and values of a shape `[..., C, head_dim]`."""
  keys, values = draw(*shape, seed=seed), draw(*shape, seed=seed + 100)
  return attention.KeysValues(keys=np.swapaxes(keys, -1, -2), values=values)


def on_device(tree):
  return jax.tree.map(
    lambda x: jnp.asarray(x, bool if x.dtype == bool else jnp.float32), tree
  )


def plain_attention(queries, own_kv, segments, cap=None, window=S):
  """Attend one query and one head at a time, in float64."""
  out, turned = np.zeros((B, K, S, H, D)), lambda x: np.swapaxes(x, -1, -2)
  for b, k, s, h in np.ndindex(B, K, S, H):
    keys, values = [], []
    for kv, mask in segments:
      mask = np.broadcast_to(mask, (B, K, S, mask.shape[-1]))[b, k, s]
      for x, seen in (turned(kv.keys), keys), (kv.values, values):
        x = x[b] if x.ndim == 4 else x[b, k]
        seen += list(x[h // (H // G), mask])
    own = slice(max(0, s + 1 - window), s + 1)
    for x, seen in (turned(own_kv.keys), keys), (own_kv.values, values):
      seen += list(x[b, k, h // (H // G), own])
    scores = np.array(keys) @ queries[b, k, s, h] / np.sqrt(D)
    scores = scores if cap is None else cap * np.tanh(scores / cap)
    weights = np.exp(scores - scores.max())
    out[b, k, s, h] = weights @ np.array(values) / weights.sum()
  return out


def some_segments():
  rng = np.random.default_rng(1)
  return [
    (pair(B, G, 5, D, seed=1), rng.random((B, 1, 1, 5)) < 0.5),
    (pair(B, G, 7, D, seed=2), rng.random((B, K, 1, 7)) < 0.5),
    (pair(B, K, G, 3, D, seed=3), rng.random((B, K, S, 3)) < 0.5),
    (pair(B, K, G, 2, D, seed=4), np.zeros((B, 1, 1, 2), bool)),
  ]


@pytest.mark.parametrize("num_segments", [0, 1, 4])
def test_attend_against_numpy(num_segments):
  segments = some_segments()[:num_segments]
  queries, own = draw(B, K, S, H, D), pair(B, K, G, S, D)
  found = ATTEND(*on_device((queries, own, segments)))
  expected = plain_attention(queries, own, segments)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_masked_may_hold_anything():
  """Empty pages and buffers hold zeros or old tokens; neither may leak."""
  queries, own = on_device((draw(B, K, S, H, D), pair(B, K, G, S, D)))
  mask = np.zeros((B, 1, 1, 5), bool)
  plain = ATTEND(queries, own, [])
  for fill in 0.0, 1e6, -1e6:
    kv = attention.KeysValues(
      keys=jnp.full((B, G, D, 5), fill), values=jnp.full((B, G, 5, D), fill)
    )
    found = ATTEND(queries, own, [(kv, jnp.asarray(mask))])
    np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-6)


def test_grouped_queries_equal_repeated_heads():
  queries, own, segments = on_device(
    (draw(B, K, S, H, D), pair(B, K, G, S, D), some_segments())
  )
  grouped = ATTEND(queries, own, segments)
  repeat = lambda kv: jax.tree.map(lambda x: jnp.repeat(x, H // G, axis=-3), kv)
  repeated = ATTEND(
    queries, repeat(own), [(repeat(kv), mask) for kv, mask in segments]
  )
  np.testing.assert_allclose(grouped, repeated, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"cap": 0.5}, {"window": 2}])
def test_caps_and_windows(options):
  queries, own = draw(B, K, S, H, D), pair(B, K, G, S, D, seed=9)
  found = attention.attend(
    *on_device((queries, own, some_segments())), **options
  )
  expected = plain_attention(queries, own, some_segments(), **options)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  plain = plain_attention(queries, own, some_segments())
  assert np.max(np.abs(expected - plain)) > 1e-2


def test_rotation_against_complex_numbers():
  positions = np.array([[0, 1, 5, 1000]])
  x = draw(1, 4, 3, D)
  found = attention.rotate(
    jnp.float32(x), rope.rotation(jnp.asarray(positions), D, 100.0)
  )
  z = x[..., : D // 2] + 1j * x[..., D // 2 :]
  angle = positions[..., None, None] * 100.0 ** (-np.arange(0, D, 2) / D)
  z = z * np.exp(1j * angle)
  expected = np.concatenate([z.real, z.imag], axis=-1)
  np.testing.assert_allclose(found, expected, atol=1e-3)


def test_rotated_products_depend_on_relative_positions_only():
  q, k = jnp.float32(draw(1, D)), jnp.float32(draw(1, D, seed=1))

  def product(i, j):
    angles = [rope.rotation(jnp.int32(p), D, 1e4) for p in (i, j)]
    return float(
      jnp.sum(attention.rotate(q, angles[0]) * attention.rotate(k, angles[1]))
    )

  for gap in 0, 1, 7:
    products = [product(place + gap, place) for place in (0, 3, 50)]
    np.testing.assert_allclose(products, products[0], atol=1e-4)
  assert abs(product(1, 0) - product(7, 0)) > 1e-2
  assert abs(product(1, 0) - product(0, 1)) > 1e-3


def test_rotation_keeps_the_length_and_the_type():
  x = jnp.bfloat16(draw(3, 2, D))
  turned = attention.rotate(x, rope.rotation(jnp.arange(3), D, 1e4))
  assert turned.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    jnp.linalg.norm(turned.astype(jnp.float32), axis=-1),
    jnp.linalg.norm(x.astype(jnp.float32), axis=-1),
    rtol=2e-2,
  )


def test_puts_tokens_where_they_go_and_no_others():
  kv = pair(B, G, 6, D), draw(B, 6, 2)
  new = pair(B, G, 3, D, seed=1), draw(B, 3, 2, seed=1)
  places = np.array([[1, 2, 6], [5, 7, 0]])  # at 6 and beyond: nowhere
  found = attention.put(*on_device((kv, new)), jnp.asarray(places))
  for b, s in np.ndindex(places.shape):
    if places[b, s] < 6:
      kv[0].keys[b, ..., places[b, s]] = new[0].keys[b, ..., s]
      kv[0].values[b, :, places[b, s]] = new[0].values[b, :, s]
      kv[1][b, places[b, s]] = new[1][b, s]
  chex.assert_trees_all_close(found, on_device(kv), rtol=1e-6)


def test_empty_has_room_for_other_tokens():
  kv = on_device((pair(B, G, 6, D), draw(B, 6, 2)))
  kv = attention.empty(kv, 9, between=(4,))
  assert attention.num_tokens(kv) == 9
  assert kv[0].keys.shape == (B, 4, G, D, 9)
  assert kv[0].values.shape == (B, 4, G, 9, D)
  assert kv[1].shape == (B, 4, 9, 2)


# Blocks of 64, and of 75.
@pytest.mark.parametrize(("size", "window"), [(150, None), (600, 40)])
def test_long_spans_are_what_they_are_without_blocks(size, window):
  rng = np.random.default_rng(size)
  shape = (1, 2, size)
  queries, own = draw(*shape, 2, 4), pair(1, 2, 2, size, 4)
  documents = np.sort(rng.integers(1, 5, shape), axis=-1)
  held = pair(1, 2, 5, 4)
  masks = rng.random((1, 1, 1, 5)) < 0.5, rng.random((*shape, 5)) < 0.5
  segments = [(held, mask) for mask in masks]
  queries, own, segments = on_device((queries, own, segments))
  place = np.arange(size)
  seen = place[None] <= place[:, None]
  if window is not None:
    seen &= place[:, None] - place[None] < window
  seen = seen[None, None] & (documents[..., :, None] == documents[..., None, :])
  whole = unoptimized.jit(
    lambda q, own, held, mask: attention._attend(q, [*held, (own, mask)], None)
  )
  found = unoptimized.jit(
    lambda q, own, held, documents: attention.attend(
      q, own, held, window=window, documents=documents
    )
  )(queries, own, segments, jnp.asarray(documents))
  expected = whole(queries, own, segments, jnp.asarray(seen))
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
