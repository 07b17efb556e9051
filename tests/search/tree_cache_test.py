import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.models import attention
from alphallm.search import tree_cache

B, N, P, LAYERS = 2, 4, 3, 2
C = 2 + 3 * P  # a prompt of two tokens, three pages


def page(seed, room=P):
  rng = np.random.default_rng(seed)
  kv = rng.normal(size=(LAYERS, B, 2, room, 3)).astype(np.float32)
  return tuple(kv), rng.integers(0, P + 1, B).astype(np.int32)


def prompt():
  return attention.Segment(
    kv=page(99, C)[0], mask=np.broadcast_to(np.arange(C) < 2, (B, 1, 1, C))
  )


def written(pages, ids, kv, lengths, in_step=True):
  pages = tree_cache.write(pages, jnp.int32(ids), kv, lengths)
  return tree_cache.settle(pages, in_step=in_step)


@pytest.mark.parametrize("in_step", [True, False])
def test_reads_what_was_written(in_step):
  pages = tree_cache.allocate(page(0)[0], N, P)
  those = [page(seed) for seed in range(N)]
  for i in 2, 0, 3, 1, 2:  # the last of two writes counts
    pages = written(pages, i, *page(i + 10), in_step)
  for i in range(N):
    pages = written(pages, i, *those[i], in_step)
  ids = np.array([[1, 3, tree_cache.NO_PAGE], [2, 0, 3]])
  expected = []
  for b in range(B):
    parts = [[x[b][:, :2] for x in prompt().kv]]
    for i in ids[b][ids[b] != tree_cache.NO_PAGE]:
      kv, lengths = those[i]
      parts.append([x[b][:, : lengths[b]] for x in kv])
    expected.append([np.concatenate(x, axis=1) for x in zip(*parts)])  # noqa: B905
  lengths = np.array([x[0].shape[1] for x in expected])
  segment = tree_cache.read(
    tree_cache.Cache(prompt=prompt(), pages=pages),
    jnp.asarray(ids),
    jnp.asarray(lengths),
  )
  np.testing.assert_array_equal(
    segment.mask[:, 0, 0], np.arange(C) < lengths[:, None]
  )
  for b in range(B):
    for found, kv in zip(segment.kv, expected[b], strict=True):
      np.testing.assert_array_equal(found[b, :, : lengths[b]], kv)


def test_no_page_is_empty_even_if_all_are_full():
  pages = tree_cache.allocate(page(0)[0], N, P)
  for i in range(N):
    pages = written(pages, i, page(i)[0], jnp.full(B, P, jnp.int32))
  cache = tree_cache.Cache(prompt=prompt(), pages=pages)
  ids, two = jnp.full((B, 2), tree_cache.NO_PAGE), jnp.full(B, 2)
  segment = tree_cache.read(cache, ids, two)
  assert np.sum(segment.mask) == 2 * B
  np.testing.assert_array_equal(segment.kv, prompt().kv)
  assert np.sum(tree_cache.read(cache, ids + 1, two + 2 * P).mask) == B * 8


def test_a_page_that_none_has_is_written_nowhere():
  pages = tree_cache.allocate(page(0)[0], N, P)
  pages = written(pages, 1, *page(1))
  after = written(pages, [N, 0], *page(2), in_step=False)
  np.testing.assert_array_equal(after.kv[0][0], pages.kv[0][0])
  np.testing.assert_array_equal(after.kv[0][1, 0], page(2)[0][0][1])


def test_a_loop_that_reads_and_writes_does_not_copy_the_pool():
  def body(i, carry):
    pages, total = carry
    pages = tree_cache.settle(pages, in_step=True)
    cache = tree_cache.Cache(prompt=prompt(), pages=pages)
    ids = jnp.full((B, 1), i - 1)
    segment = tree_cache.read(cache, ids, jnp.full(B, P))
    # Nothing that is written depends on what is read.
    new = tuple(jnp.full((B, 2, P, 3), i, jnp.float32) for _ in range(LAYERS))
    pages = tree_cache.write(pages, i, new, jnp.full(B, P))
    return pages, total + sum(jnp.sum(x) for x in segment.kv)

  def loop(pages):
    return jax.lax.fori_loop(0, 1000, body, (pages, 0.0))

  pages = tree_cache.allocate(page(0)[0], 1000, P)
  program = jax.jit(loop, donate_argnums=0).lower(pages).compile()
  assert program.memory_analysis().temp_size_in_bytes < pages.kv[0].nbytes


def test_pages_are_of_the_keys_type():
  kv = tuple(jnp.bfloat16(x) for x in page(0)[0])
  pages = tree_cache.allocate(kv, N, P + 2)
  assert {x.dtype for x in pages.kv} == {jnp.dtype("bfloat16")}
  assert {x.shape for x in pages.kv} == {(B, N, 2, P + 2, 3)}
  assert not pages.lengths.any()
