"""Keys and values in the tree: one page for the tokens that a node adds.

A cache of the whole prefix in every node would cost nodes x prefix of memory,
no cache at all a pass over the whole prefix at every expansion. Here each
expansion owns one page; a node knows the ids of its ancestors' pages, which an
expansion gathers once, as one segment.
"""

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention

NO_PAGE = -1


@chex.dataclass(frozen=True)
class Pages:
  """The pool of pages of a batch of trees.

  Attributes:
    kv: per layer `[B, N, page_tokens, 2, G, head_dim]`.
    lengths: `[B, N]` int32, number of tokens in each page.
  """

  kv: tuple[chex.Array, ...]
  lengths: chex.Array


def allocate(
  kv_like: tuple[chex.Array, ...], num_pages: int, page_tokens: int
) -> Pages:
  """Return empty pages for keys and values like `kv_like`'s.

  Args:
    kv_like: per layer `[B, C, 2, G, head_dim]`.
    num_pages: N, one for each expansion.
    page_tokens: most tokens that one expansion adds.
  """
  batch = kv_like[0].shape[0]
  return Pages(
    kv=tuple(
      jnp.zeros((batch, num_pages, page_tokens) + x.shape[2:], x.dtype)
      for x in kv_like
    ),
    lengths=jnp.zeros((batch, num_pages), jnp.int32),
  )


def write(
  pages: Pages,
  page: chex.Array,
  kv: tuple[chex.Array, ...],
  lengths: chex.Array,
) -> Pages:
  """Fill one page of every tree.

  Args:
    pages: the pool.
    page: `[]` int32, the page's id, the same in every tree.
    kv: per layer `[B, page_tokens, 2, G, head_dim]`.
    lengths: `[B]` int32.
  """
  put = lambda x, new: jax.lax.dynamic_update_slice_in_dim(
    x, new[:, None], page, axis=1
  )
  return Pages(
    kv=jax.tree.map(put, pages.kv, kv), lengths=put(pages.lengths, lengths)
  )


def gather(pages: Pages, ids: chex.Array) -> attention.Segment:
  """Return the pages `ids`, `[B, D]`, as one segment of D x page_tokens.

  `NO_PAGE` stands for no page.
  """
  rows = jnp.arange(ids.shape[0])[:, None]
  page_tokens = pages.kv[0].shape[2]
  lengths = jnp.where(ids == NO_PAGE, 0, pages.lengths[rows, ids])
  mask = jnp.arange(page_tokens)[None, None] < lengths[..., None]
  return attention.Segment(
    kv=tuple(
      x[rows, ids].reshape(ids.shape[0], -1, *x.shape[3:]) for x in pages.kv
    ),
    mask=mask.reshape(ids.shape[0], 1, 1, -1),
  )
