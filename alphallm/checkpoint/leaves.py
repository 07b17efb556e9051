"""A state as named leaves, in the forms in which a checkpoint holds them.

Leaves are known by their path in the tree, not by the classes of its nodes. A
checkpoint holds neither typed PRNG keys, but their data, nor arrays without
elements, but their shape.
"""

import math
from typing import Any

import jax
import numpy as np

Description = list[Any]  # `[shape, dtype]` of a leaf, as JSON


def flatten(tree: Any) -> dict[str, Any]:
  """Return the leaves of a pytree by their paths, in the order of the tree.

  Raises:
    ValueError: if two leaves have the same path.
  """
  leaves = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator=".") or "state"
    if name in leaves:
      raise ValueError(f"two leaves of the state have the path {name}")
    leaves[name] = leaf
  return leaves


def describe(leaves: dict[str, Any]) -> dict[str, Description]:
  """Return what leaves are, which may be abstract."""
  return {name: _describe(leaf) for name, leaf in leaves.items()}


def has_elements(description: Description) -> bool:
  """Return whether a checkpoint holds an array for such a leaf."""
  return math.prod(description[0]) > 0


def misfits(
  saved: dict[str, Description], wanted: dict[str, Any], *, partial: bool
) -> list[str]:
  """Return in words how the leaves in a checkpoint differ from those wanted.

  Args:
    saved: what is in the checkpoint.
    wanted: the leaves to fill.
    partial: whether there may be more in the checkpoint.
  """
  wanted = describe(wanted)
  found = [
    f"{name} is {_words(saved[name])} in it, {_words(want)} here"
    for name, want in wanted.items()
    if name in saved and list(saved[name]) != want
  ]
  found += [f"{name} is not in it" for name in wanted if name not in saved]
  if not partial:
    found += [
      f"{name} is in it but not in the state to fill"
      for name in saved
      if name not in wanted
    ]
  return found


def to_save(leaves: dict[str, Any]) -> dict[str, Any]:
  """Return the arrays that a checkpoint holds for leaves.

  NumPy arrays are copied: they are written while the caller may change them.
  """
  return {
    name: _plain(leaf)
    for name, leaf in leaves.items()
    if has_elements(_describe(leaf))
  }


def to_read(leaves: dict[str, Any]) -> dict[str, Any]:
  """Return shapes, dtypes and shardings of `to_save`, to be read.

  Args:
    leaves: arrays or `jax.ShapeDtypeStruct`, of which shape, dtype and
      sharding count (without one: the first device); a NumPy array stands for
      itself.
  """
  return {
    name: _abstract(leaf)
    for name, leaf in leaves.items()
    if has_elements(_describe(leaf))
  }


def fill(tree: Any, arrays: dict[str, Any]) -> Any:
  """Return a pytree like `tree` with the arrays that were read for it."""
  leaves = [
    _typed(arrays.get(name), want) for name, want in flatten(tree).items()
  ]
  return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def _describe(leaf):
  if not hasattr(leaf, "dtype"):
    leaf = np.asarray(leaf)
  return [list(leaf.shape), str(leaf.dtype)]


def _words(description):
  shape, dtype = description
  return f"{dtype}[{','.join(map(str, shape))}]"


def _is_key(leaf):
  dtype = getattr(leaf, "dtype", None)
  return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def _plain(leaf):
  if _is_key(leaf):
    return jax.random.key_data(leaf)
  return leaf if isinstance(leaf, jax.Array) else np.array(leaf)


def _abstract(leaf):
  if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
    return np.asarray(leaf)
  shape, dtype = leaf.shape, leaf.dtype
  if _is_key(leaf):
    data = jax.eval_shape(jax.random.key_data, leaf)
    shape, dtype = data.shape, data.dtype
  return jax.ShapeDtypeStruct(shape, dtype, sharding=_sharding(leaf))


def _sharding(leaf):
  if leaf.sharding is not None:
    return leaf.sharding
  return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _typed(array, wanted):
  """Return the restored array as the kind of leaf that was asked for."""
  if not isinstance(wanted, jax.Array | jax.ShapeDtypeStruct):
    return np.zeros_like(wanted) if array is None else array
  if array is None:  # no elements, so nothing was saved
    abstract = _abstract(wanted)
    empty = np.empty(abstract.shape, abstract.dtype)
    array = jax.device_put(empty, abstract.sharding)
  if _is_key(wanted):
    return jax.random.wrap_key_data(array, impl=_key_impl(wanted))
  return array


def _key_impl(key):
  """Return the implementation of a typed key, which may be abstract."""
  impls = []
  jax.eval_shape(lambda k: impls.append(jax.random.key_impl(k)), key)
  return impls[0]
