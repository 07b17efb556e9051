"""The mesh of devices, and what lies where on it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax


def make_mesh(
  axes: Mapping[str, int] | None = None,
  *,
  devices: Sequence[jax.Device] | None = None,
) -> jax.sharding.Mesh:
  """Make a mesh over all devices.

  Args:
    axes: the size of each axis by name; one size may be -1, for all devices
      that the others leave. One axis, `"data"`, over all devices if None.
    devices: the devices, those of all processes if None.

  Raises:
    ValueError: if the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  axes = {"data": -1} if axes is None else dict(axes)
  known = math.prod(size for size in axes.values() if size != -1)
  sizes = [
    len(devices) // max(known, 1) if s == -1 else s for s in axes.values()
  ]
  if math.prod(sizes) != len(devices) or list(axes.values()).count(-1) > 1:
    raise ValueError(
      f"the mesh {axes} does not fit {len(devices)} device(s): its sizes must"
      " multiply to that number"
    )
  # Explicit axes, the default, are not understood by mctx and Linen.
  auto = (jax.sharding.AxisType.Auto,) * len(sizes)
  return jax.make_mesh(sizes, tuple(axes), axis_types=auto, devices=devices)


def replicated(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Return the sharding of what every device holds whole."""
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def batch(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Return the sharding that splits the leading axis over `"data"`."""
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))


def shard_self_play(
  f: Callable[..., Any], mesh: jax.sharding.Mesh, **jit_options
) -> Callable[..., Any]:
  """Run a function on every device, each on its part of the batch.

  No device waits for another: there is no collective inside, while a plain
  `jit` over a split batch puts some into the loop of the search.

  Args:
    f: `f(params, *batched) -> batched`. `params` is whole on every device;
      every leaf of the other arguments and of the result has the batch as its
      leading axis. A random key is therefore an array of keys `[B]`.
    mesh: has an axis `"data"`, whose size divides B.
    **jit_options: passed to `jax.jit`, for instance `donate_argnums`.
  """
  whole, split = replicated(mesh).spec, batch(mesh).spec

  def on_every_device(params, *batched):
    return jax.shard_map(
      f,
      mesh=mesh,
      in_specs=(whole,) + (split,) * len(batched),
      out_specs=split,
      check_vma=False,  # the check fails in the loops of mctx
    )(params, *batched)

  return jax.jit(on_every_device, **jit_options)


def abstract(shapes: Any, places: Any) -> Any:
  """Return shapes and shardings of a state as one tree, for restoring."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    places,
  )


def fsdp(
  abstract_tree: Any, mesh: jax.sharding.Mesh, *, min_size: int = 2**16
) -> Any:
  """Return shardings that split large arrays over `"data"` (FSDP).

  Args:
    abstract_tree: arrays or `jax.ShapeDtypeStruct`, those of a train state.
    mesh: has an axis `"data"`.
    min_size: arrays with fewer elements are whole on every device.

  Returns:
    The tree with a `NamedSharding` for each array: the largest dimension that
    the size of `"data"` divides is split, the last of equals.
  """
  parts = mesh.shape["data"]

  def sharding(array):
    dims = [d for d, n in enumerate(array.shape) if n and n % parts == 0]
    if parts == 1 or math.prod(array.shape) < min_size or not dims:
      return replicated(mesh)
    dim = max(dims, key=lambda d: (array.shape[d], d))
    spec = jax.sharding.PartitionSpec(*[None] * dim, "data")
    return jax.sharding.NamedSharding(mesh, spec)

  return jax.tree.map(sharding, abstract_tree)
