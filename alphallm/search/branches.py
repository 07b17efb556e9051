"""Keys and values of the tokens of K candidates while they are decoded.

Beams that part keep their past in common: the tokens of all of them lie in one
segment, in order of time, and a mask says whose past they are. So nothing is
copied when beams fork. Candidates that are drawn independently never fork, and
each has a segment of its own.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import attention


@chex.dataclass(frozen=True)
class Branches:
  """The tokens of K candidates, up to T - 1 each.

  Attributes:
    kv: per layer `[B, ...]`, room for (T - 1) x K tokens; without a path
      `[B, K, ...]`, room for T - 1.
    path: `[B, K, T - 1]` int32, which of the K tokens of each time is in a
      candidate's past; () for candidates that do not fork.
  """

  kv: tuple[Any, ...]
  path: chex.Array | tuple[()]


def bare(
  kv_like: tuple[Any, ...], k: int, most: int, *, fork: bool
) -> Branches:
  """Return branches without tokens, with room for `most` of each candidate.

  Args:
    kv_like: per layer `[B, ...]`.
    k: candidates.
    most: T - 1.
    fork: whether candidates may fork.
  """
  batch = jax.tree.leaves(kv_like)[0].shape[0]
  between, room = ((), most * k) if fork else ((k,), most)
  return Branches(
    kv=attention.empty(kv_like, room, between=between),
    path=jnp.zeros((batch, k, most), jnp.int32) if fork else (),
  )


def segment(branches: Branches, time: chex.Array) -> attention.Segment:
  """Return what each candidate has in its past, `time` tokens."""
  path = branches.path
  if isinstance(path, tuple):
    most = attention.num_tokens(branches.kv)
    mask = jnp.arange(most)[None, None, None] < time
  else:
    batch, k, most = path.shape
    mask = path[..., None] == jnp.arange(k)[None, None, None]
    mask &= (jnp.arange(most) < time)[None, None, :, None]
    mask = mask.reshape(batch, k, 1, most * k)
  return attention.Segment(kv=branches.kv, mask=mask)


def put(branches: Branches, kv: tuple[Any, ...], time: chex.Array) -> Branches:
  """Return the branches with one more token of each candidate.

  Args:
    branches: with `time` tokens of each.
    kv: per layer `[B, K, ...]`, of one token.
    time: `[]` int32.
  """
  path = branches.path
  if isinstance(path, tuple):
    beside, start = (lambda _, x: x), time
  else:
    k = path.shape[1]
    # The K tokens of one time lie side by side.
    beside = lambda axis, x: jnp.moveaxis(jnp.squeeze(x, axis), 1, axis)
    start = time * k
    path = path.at[:, :, time].set(jnp.arange(k)[None])
  write = lambda axis, x, new: _write(axis)(x, beside(axis, new), start)
  axes = attention.token_axes(kv)
  return Branches(kv=jax.tree.map(write, axes, branches.kv, kv), path=path)


@functools.cache
def _write(axis: int):
  """Return a function that writes in place, along an axis from the end.

  Under a `vmap` JAX would scatter, and a compiler keep what was there until it
  knows that the place is one: it would copy all keys and values at each token.
  """

  @jax.custom_batching.custom_vmap
  def write(x, new, start):
    return jax.lax.dynamic_update_slice_in_dim(
      x, new, start, axis=x.ndim + axis
    )

  @write.def_vmap
  def _(axis_size, in_batched, x, new, start):
    *are_batched, is_start = in_batched
    if is_start:
      raise NotImplementedError("candidates under one vmap share their time")
    spread = lambda x, is_batched: (
      x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
    )
    x, new = map(spread, (x, new), are_batched)
    return write(x, new, start), True

  return write


def follow(branches: Branches, parent: chex.Array) -> Branches:
  """Return the branches of candidates that go on from others, `[B, K]`."""
  if isinstance(branches.path, tuple):
    return branches
  path = jnp.take_along_axis(branches.path, parent[..., None], axis=1)
  return branches.replace(path=path)
