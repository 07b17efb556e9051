import jax.numpy as jnp
import numpy as np

from alphallm.search import tree_cache

B, N, P, LAYERS = 2, 4, 3, 2


def page(seed):
  rng = np.random.default_rng(seed)
  kv = rng.normal(size=(LAYERS, B, 2, P, 3)).astype(np.float32)
  return tuple(kv), rng.integers(0, P + 1, B).astype(np.int32)


def test_gathers_what_was_written():
  pages = tree_cache.allocate(page(0)[0], N, P)
  written = [page(seed) for seed in range(N)]
  for i in 2, 0, 3, 1, 2:  # the last of two writes counts
    pages = tree_cache.write(pages, jnp.int32(i), *page(i + 10))
  for i in range(N):
    pages = tree_cache.write(pages, jnp.int32(i), *written[i])
  ids = np.array([[1, 3, tree_cache.NO_PAGE], [tree_cache.NO_PAGE, 2, 2]])
  segment = tree_cache.gather(pages, jnp.asarray(ids))
  assert segment.mask.shape == (B, 1, 1, 3 * P)
  for b in range(B):
    for d, i in enumerate(ids[b]):
      part = slice(d * P, (d + 1) * P)
      mask = segment.mask[b, 0, 0, part]
      if i == tree_cache.NO_PAGE:
        assert not mask.any()
        continue
      kv, lengths = written[i]
      assert mask.tolist() == [t < lengths[b] for t in range(P)]
      for layer in range(LAYERS):
        np.testing.assert_array_equal(
          segment.kv[layer][b, :, part], kv[layer][b]
        )


def test_no_page_is_empty_even_if_all_are_full():
  pages = tree_cache.allocate(page(0)[0], N, P)
  for i in range(N):
    pages = tree_cache.write(
      pages, jnp.int32(i), page(i)[0], jnp.full(B, P, jnp.int32)
    )
  ids = jnp.full((B, 2), tree_cache.NO_PAGE)
  assert not tree_cache.gather(pages, ids).mask.any()
  assert tree_cache.gather(pages, ids + 1).mask.all()


def test_pages_are_of_the_keys_type():
  kv = tuple(jnp.bfloat16(x) for x in page(0)[0])
  pages = tree_cache.allocate(kv, N, P + 2)
  assert {x.dtype for x in pages.kv} == {jnp.dtype("bfloat16")}
  assert {x.shape for x in pages.kv} == {(B, N, 2, P + 2, 3)}
  assert not pages.lengths.any()
