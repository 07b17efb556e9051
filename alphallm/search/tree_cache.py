"""Keys and values in the tree: one page for the tokens that a node adds.

A cache of the whole prefix in every node would cost nodes x prefix of memory,
no cache at all a pass over the whole prefix at every expansion. Here each
expansion owns one page; a node knows the ids of its ancestors' pages, which an
expansion puts behind the prompt, once.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention

NO_PAGE = -1


@chex.dataclass(frozen=True)
class Page:
  """One page of every tree.

  Attributes:
    kv: per layer `[B, ...]`, of `page_tokens` tokens.
    lengths: `[B]` int32.
    ids: `[B]` int32, which page it is; one that no page has is written nowhere.
  """

  kv: tuple[Any, ...]
  lengths: chex.Array
  ids: chex.Array


@chex.dataclass(frozen=True)
class Pages:
  """The pool of pages of a batch of trees.

  The page that was made last lies beside the pool until `settle` puts it there.
  Whatever is read of the pool then stems from what was written; were it the
  other way round, nothing told XLA that a page is written after others were
  read, and it would copy the whole pool each time.

  Attributes:
    kv: per layer `[B, N, ...]`, room for `page_tokens`; see
      `attention.Segment`.
    lengths: `[B, N]` int32, number of tokens in each page.
    last: what is not in the pool yet.
  """

  kv: tuple[Any, ...]
  lengths: chex.Array
  last: Page

  @property
  def page_tokens(self) -> int:
    return attention.num_tokens(self.kv)


@chex.dataclass(frozen=True)
class Cache:
  """What is kept for a batch of trees.

  Attributes:
    prompt: keys and values of the roots' contexts, a segment of C tokens.
    pages: of the nodes below; () where contexts reset or are recomputed.
  """

  prompt: attention.Segment
  pages: Pages | tuple[()]


def allocate(
  kv_like: tuple[Any, ...],
  num_pages: int,
  page_tokens: int,
  dtype: str = "",
) -> Pages:
  """Return empty pages for keys and values like `kv_like`'s.

  Args:
    kv_like: per layer `[B, ...]`.
    num_pages: N, one for each expansion.
    page_tokens: most tokens that one expansion adds.
    dtype: in which they are kept; "" for that of `kv_like`.
  """
  batch = jax.tree.leaves(kv_like)[0].shape[0]
  empty = functools.partial(
    attention.empty, kv_like, page_tokens, dtype=dtype or None
  )
  zeros = jnp.zeros((batch,), jnp.int32)
  return Pages(
    kv=empty(between=(num_pages,)),
    lengths=jnp.zeros((batch, num_pages), jnp.int32),
    last=Page(kv=empty(), lengths=zeros, ids=zeros),
  )


def write(
  pages: Pages,
  ids: chex.Array,
  kv: tuple[Any, ...],
  lengths: chex.Array,
) -> Pages:
  """Fill one page of every tree; it is read after the next `settle`.

  Args:
    pages: the pool, settled.
    ids: `[]` or `[B]` int32, the page's in each tree; where no page has it
      nothing is written.
    kv: per layer `[B, ...]`, of `page_tokens` tokens.
    lengths: `[B]` int32.
  """
  return pages.replace(
    last=Page(
      kv=jax.tree.map(lambda x, new: new.astype(x.dtype), pages.kv, kv),
      lengths=lengths,
      ids=jnp.broadcast_to(ids, lengths.shape),
    )
  )


def settle(pages: Pages, *, in_step: bool) -> Pages:
  """Put the page that was made last into the pool; again does nothing.

  Args:
    pages: the pool.
    in_step: whether the page has the same id, one that there is, in all trees.
  """
  last = pages.last
  rows = jnp.arange(last.ids.shape[0])

  def put(x, new):
    if in_step:
      return jax.lax.dynamic_update_slice_in_dim(
        x, new[:, None], last.ids[0], axis=1
      )
    return x.at[rows, last.ids].set(new, mode="drop")

  return pages.replace(
    kv=jax.tree.map(put, pages.kv, last.kv),
    lengths=put(pages.lengths, last.lengths),
  )


def read(
  cache: Cache, ids: chex.Array, length: chex.Array
) -> attention.Segment:
  """Return the whole context of a node in each tree, as one segment.

  Args:
    cache: whose prompt has room for every context that a node may have, and
      whose pages are settled.
    ids: `[B, A]` int32, the pages from below the root to the node; `NO_PAGE`
      stands for none.
    length: `[B]` int32, tokens of the node's context.
  """
  prompt, pages = cache.prompt, cache.pages
  batch, room = ids.shape[0], prompt.mask.shape[-1]
  rows = jnp.arange(batch)[:, None]
  held = jnp.where(ids == NO_PAGE, 0, pages.lengths[rows, ids])
  ends = (length - jnp.sum(held, axis=1))[:, None] + jnp.cumsum(held, axis=1)
  offset = jnp.arange(pages.page_tokens)[None, None]
  places = jnp.where(
    offset < held[..., None], (ends - held)[..., None] + offset, room
  ).reshape(batch, -1)

  def joined(axis, pool):
    """Return the tokens of all pages side by side."""
    new = jnp.moveaxis(pool[rows, ids], 1, axis - 1)  # A before the tokens
    first, behind = new.shape[: axis - 1], new.shape[new.ndim + axis + 1 :]
    return new.reshape(*first, -1, *behind)

  added = jax.tree.map(joined, attention.token_axes(pages.kv), pages.kv)
  mask = jnp.arange(room)[None] < length[:, None]
  return attention.Segment(
    kv=attention.put(prompt.kv, added, places), mask=mask[:, None, None]
  )


def follow(
  cache: Cache, ids: chex.Array, page: chex.Array, length: chex.Array
) -> Cache:
  """Return the cache of subtrees; the page of their root joins the prompt.

  Args:
    cache: of the whole trees, settled.
    ids: `[B, N]` int32, the present page of each node below the new root.
    page: `[B]` int32, that of the new root.
    length: `[B]` int32, tokens of its context, those of its page included.
  """
  if cache.pages == ():  # The prompt is read by the root alone.
    return cache
  prompt, pages = cache.prompt, cache.pages
  rows = jnp.arange(ids.shape[0])
  own = pages.lengths[rows, page]
  offset = jnp.arange(pages.page_tokens)[None]
  context = prompt.mask.shape[-1]
  place = jnp.where(
    offset < own[:, None], (length - own)[:, None] + offset, context
  )
  own_kv = jax.tree.map(lambda x: x[rows, page], pages.kv)
  mask = jnp.arange(context)[None] < length[:, None]
  return Cache(
    prompt=attention.Segment(
      kv=attention.put(prompt.kv, own_kv, place), mask=mask[:, None, None]
    ),
    pages=Pages(
      kv=jax.tree.map(lambda x: x[rows[:, None], ids], pages.kv),
      lengths=pages.lengths[rows[:, None], ids],
      last=pages.last.replace(ids=jnp.full_like(page, ids.shape[1])),
    ),
  )
