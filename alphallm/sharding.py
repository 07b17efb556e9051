"""The mesh of devices, and what lies where on it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from alphallm import parts as parts_lib
from alphallm import values

Sharding = jax.sharding.NamedSharding
_Spec = jax.sharding.PartitionSpec


_NAMES = "data", "fsdp", "tensor"
# Explicit axes, the default, are not understood by mctx and Linen.
_AUTO = (jax.sharding.AxisType.Auto,) * len(_NAMES)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How many devices each axis of the mesh has."""

  data: int = 0  # parts of a batch; 0: all devices that the others leave
  fsdp: int = 1  # parts of parameters and optimizer, and of a batch
  tensor: int = 1  # parts of heads, hidden units and vocabulary
  min_size: int = 2**16  # elements; smaller arrays are whole on every device
  gather: str = "entry"  # when self-play collects parameters: all of them at
  # its "entry", or each "layer" whenever a network is passed
  actors: int = 0  # devices that play and do not learn; 0: all do both

  def __post_init__(self):
    if self.gather not in ("entry", "layer"):
      raise ValueError(f"gather={self.gather!r} is neither entry nor layer")
    if self.actors and self.gather == "layer":
      raise ValueError(
        "gather='layer' and actors exclude each other: each actor holds all "
        "parameters"
      )


@dataclasses.dataclass(frozen=True)
class Axes:
  """Over which axes of the mesh each logical axis is split."""

  slots: tuple[str, ...] = ("data", "fsdp", "tensor")  # what is played
  batch: tuple[str, ...] = ("data", "fsdp")  # what is learned from
  embed: tuple[str, ...] = ("fsdp",)
  heads: tuple[str, ...] = ("tensor",)
  hidden: tuple[str, ...] = ("tensor",)
  vocab: tuple[str, ...] = ("tensor",)


AXES = Axes()

# The logical axes of a network's parameters, by the ends of their names.
_LOGICAL = {
  ("embed", "embedding"): ("vocab", "embed"),
  ("lm_head", "kernel"): ("embed", "vocab"),
  ("query", "kernel"): ("embed", "heads"),
  ("key", "kernel"): ("embed", "heads"),
  ("value", "kernel"): ("embed", "heads"),
  ("output", "kernel"): ("heads", "embed"),
  ("gate", "kernel"): ("embed", "hidden"),
  ("up", "kernel"): ("embed", "hidden"),
  ("down", "kernel"): ("hidden", "embed"),
}


def make_mesh(
  config: MeshConfig = MeshConfig(),
  *,
  devices: Sequence[jax.Device] | None = None,
) -> jax.sharding.Mesh:
  """Make a mesh over all devices, its axes `data`, `fsdp` and `tensor`.

  Args:
    config: the sizes of the axes.
    devices: the devices, those of all processes if None.

  Raises:
    UserError: if the sizes do not multiply to the number of devices, or some of
      these are to be actors.
  """
  if config.actors:
    raise values.UserError(
      f"config.mesh.actors={config.actors}: only training parts devices into "
      "those that play and those that learn; give 0"
    )
  devices = jax.devices() if devices is None else list(devices)
  sizes = _sizes(config, len(devices))
  return jax.make_mesh(sizes, _NAMES, axis_types=_AUTO, devices=devices)


def _sizes(config: MeshConfig, count: int) -> tuple[int, ...]:
  """Return the sizes of the axes of a mesh of so many devices."""
  inner = config.fsdp * config.tensor
  sizes = config.data or count // inner, config.fsdp, config.tensor
  if math.prod(sizes) != count:
    raise values.UserError(
      f"config.mesh: data={config.data}, fsdp={config.fsdp} and tensor="
      f"{config.tensor} do not fit {count} device(s): they must "
      "multiply to that number"
    )
  return sizes


def make_meshes(
  config: MeshConfig = MeshConfig(),
  *,
  devices: Sequence[jax.Device] | None = None,
) -> tuple[jax.sharding.Mesh, jax.sharding.Mesh]:
  """Return the mesh that learns and the one that plays, one where all do both.

  Of the devices of each process the last ones play, on each as many.

  Args:
    config: the sizes of the axes of the first one, and how many devices play.
    devices: the devices, those of all processes if None.

  Raises:
    UserError: as `make_mesh`; or if not all processes can play and learn.
  """
  if not config.actors:
    return (make_mesh(config, devices=devices),) * 2
  by_process: dict[int, list[jax.Device]] = {}
  for device in jax.devices() if devices is None else devices:
    by_process.setdefault(device.process_index, []).append(device)
  each, rest = divmod(config.actors, len(by_process))
  if rest or any(len(own) <= each for own in by_process.values()):
    raise values.UserError(
      f"config.mesh.actors={config.actors}: each of {len(by_process)} "
      f"process(es), of {min(map(len, by_process.values()))} device(s), must "
      "have as many actors, and others that learn"
    )
  learning = [d for own in by_process.values() for d in own[:-each]]
  playing = [d for own in by_process.values() for d in own[-each:]]

  def mesh(config, devices):
    # In their order: a part of a TPU slice need not be a box.
    placed = np.array(devices).reshape(_sizes(config, len(devices)))
    return jax.sharding.Mesh(placed, _NAMES, axis_types=_AUTO)

  return mesh(config, learning), mesh(MeshConfig(), playing)


def replicated(mesh: jax.sharding.Mesh) -> Sharding:
  """Return the sharding of what every device holds whole."""
  return Sharding(mesh, _Spec())


def slots(mesh: jax.sharding.Mesh) -> Sharding:
  """Return the sharding of what is played: its leading axis is split."""
  return Sharding(mesh, _Spec(AXES.slots))


def batch(mesh: jax.sharding.Mesh) -> Sharding:
  """Return the sharding of what is learned from: its leading axis is split."""
  return Sharding(mesh, _Spec(AXES.batch))


def num_parts(sharding: Sharding) -> int:
  """Return in how many parts the leading axis is split."""
  names = sharding.spec[0] if sharding.spec else ()
  return math.prod(sharding.mesh.shape[name] for name in names)


def check_even(
  name: str, size: int, sharding: Sharding, accumulate: int = 1
) -> None:
  """Refuse what devices would not share evenly.

  Args:
    name: of the config's value.
    size: of the leading axis.
    sharding: of it.
    accumulate: parts of it that are passed one after the other.

  Raises:
    UserError: if a part is no multiple of the devices.
  """
  devices = num_parts(sharding)
  if size % (devices * accumulate):
    parts = f" x accumulate={accumulate}" if accumulate > 1 else ""
    raise values.UserError(
      f"config.{name}={size} is no multiple of {devices}{parts}, the number of "
      "devices that it is split over"
    )


def from_parts(
  shape: Sequence[int],
  sharding: Sharding,
  part: Callable[[tuple[slice, ...]], np.ndarray],
) -> jax.Array:
  """Return an array of which each process knows what is on its devices.

  Args:
    shape: of all of it.
    sharding: where it goes.
    part: returns what lies in the slices.
  """
  with jax.transfer_guard_host_to_device("allow"):  # it is meant
    return jax.make_array_from_callback(tuple(shape), sharding, part)


def put(tree: Any, sharding: Any) -> Any:
  """Put values that all processes hold alike onto the devices of all.

  Unlike `jax.device_put` no process asks the others whether that is so.

  Args:
    tree: NumPy arrays, numbers, or arrays on devices of this process.
    sharding: of all leaves, or a tree of them that may end before theirs.
  """

  def place(x, sharding):
    dtype = getattr(x, "dtype", None)
    is_key = jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    data = np.asarray(jax.device_get(jax.random.key_data(x) if is_key else x))
    array = from_parts(data.shape, sharding, lambda index: data[index])
    if is_key:
      return jax.random.wrap_key_data(array, impl=jax.random.key_impl(x))
    return array

  with jax.ensure_compile_time_eval():  # they are known while others trace
    return jax.tree.map(place, tree, jax.tree.broadcast(sharding, tree))


def copied(tree: Any, mesh: jax.sharding.Mesh) -> Any:
  """Return arrays that are whole on other devices, whole on those of a mesh.

  Each process copies from a device of its own; nothing waits for the arrays.

  Args:
    tree: arrays, `replicated` on a mesh with devices of every process.
    mesh: from `make_meshes`.
  """
  local = jax.sharding.Mesh(np.array(mesh.local_devices), "data")
  own = jax.tree.map(lambda x: x.addressable_data(0), tree)
  return jax.tree.map(
    lambda x: jax.make_array_from_single_device_arrays(
      x.shape, replicated(mesh), [part.data for part in x.addressable_shards]
    ),
    jax.device_put(own, replicated(local)),
  )


def shard_self_play(
  f: Callable[..., Any],
  mesh: jax.sharding.Mesh,
  *,
  parts: Any = None,
  **jit_options,
) -> Callable[..., Any]:
  """Run a function on every device, each on its part of the batch.

  No device waits for another: there is no collective inside, while a plain
  `jit` over a split batch puts some into the loop of the search. Parameters
  that are split are gathered once, before it begins; or, where they would not
  fit a device, layer by layer in each pass of the network.

  Args:
    f: `f(params, *batched) -> batched`. `params` is whole on every device, or
      its `parts.Part`s; every leaf of the other arguments and of the result has
      the batch as its leading axis. A random key is therefore an array of keys
      `[B]`.
    mesh: whose number of devices divides B.
    parts: the shardings of parameters that are not to be gathered at entry, a
      tree that may end before theirs; `None`: all are.
    **jit_options: passed to `jax.jit`, for instance `donate_argnums`.
  """
  whole, split = replicated(mesh), slots(mesh)
  specs = whole.spec
  if parts is not None:
    specs = jax.tree.map(lambda place: place.spec, parts)

  def on_a_device(params, *batched):
    return f(parts_lib.of(params, specs), *batched)

  def on_every_device(params, *batched):
    if parts is None:
      with jax.named_scope("gather_params"):
        params = jax.lax.with_sharding_constraint(params, whole)
    return jax.shard_map(
      on_a_device,
      mesh=mesh,
      in_specs=(specs,) + (split.spec,) * len(batched),
      out_specs=split.spec,
      check_vma=False,  # the check fails in the loops of mctx
    )(params, *batched)

  return jax.jit(on_every_device, **jit_options)


def collecting(
  model: Any,
  mesh: jax.sharding.Mesh,
  *,
  min_size: int = MeshConfig.min_size,
) -> Callable[..., Any]:
  """Return a network whose modules collect what they read of its parameters.

  It is for programs that the compiler parts among devices. There both batches
  and parameters are split over `"fsdp"`, and in a product of the two one must
  move: it is the parameters, layer by layer, and then their gradients, both in
  the type of the computation.

  Args:
    model: a `PolicyValueTransformer`.
    mesh: from `make_mesh`.
    min_size: see `state`.
  """
  apply_fn = model.apply
  if all(mesh.shape[name] == 1 for name in AXES.embed):
    return apply_fn

  def box(param, split):
    whole_by = [None if names in AXES.embed else names for names in split.spec]
    used = Sharding(mesh, _Spec(*whole_by))
    # What is whole on all devices, such as norms, does not move.
    dtype = model.config.dtype if any(split.spec) else str(param.dtype)
    return parts_lib.Spread(value=param, split=split, used=used, dtype=dtype)

  def apply(params, *args, **options):
    splits = state(params, mesh, min_size=min_size)
    return apply_fn(jax.tree.map(box, params, splits), *args, **options)

  return apply


def abstract(shapes: Any, places: Any) -> Any:
  """Return shapes and shardings of a state as one tree, for restoring."""
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    places,
  )


def state(
  abstract_tree: Any,
  mesh: jax.sharding.Mesh,
  *,
  min_size: int = MeshConfig.min_size,
) -> Any:
  """Return the shardings of parameters and of what has their names.

  Args:
    abstract_tree: arrays or `jax.ShapeDtypeStruct`, those of a train state.
    mesh: from `make_mesh`.
    min_size: arrays with fewer elements are whole on every device.

  Returns:
    The tree with a `NamedSharding` for each array. A parameter whose logical
    axes are known is split by `Axes`, as far as its dimensions are multiples;
    of another array the largest dimension that the size of `"fsdp"` divides is
    split, the last of equals.
  """

  def split(size, names):
    parts = math.prod(mesh.shape[name] for name in names)
    return names if parts > 1 and size % parts == 0 else None

  def sharding(path, array):
    if math.prod(array.shape) < min_size:
      return replicated(mesh)
    ends = tuple(jax.tree_util.keystr((k,), simple=True) for k in path[-2:])
    logical = _LOGICAL.get(ends, ())
    if len(logical) == array.ndim:
      axes = [getattr(AXES, name) for name in logical]
      parts = map(split, array.shape, axes)
      return Sharding(mesh, _Spec(*parts))
    dims = [d for d, n in enumerate(array.shape) if split(n, AXES.embed)]
    if not dims:
      return replicated(mesh)
    dim = max(dims, key=lambda d: (array.shape[d], d))
    return Sharding(mesh, _Spec(*[None] * dim, AXES.embed))

  return jax.tree_util.tree_map_with_path(sharding, abstract_tree)
