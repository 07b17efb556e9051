"""Parameters that stay split over devices, and are collected when used.

Flax unboxes them where a module reads them: there the devices that share a
parameter collect it, and what they have collected is theirs until the module is
done with it.

Within `shard_map` a device holds a `Part` of a parameter. All must come by: a
loop in which a network is passed goes on as long as any of them has something
to do, see `anywhere`. Where the compiler parts a program, a `Spread` tells it
to move the parameter; else it may move activations, which are larger.
"""

import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import struct
from flax.core import meta

_Spec = jax.sharding.PartitionSpec


class _Box(meta.AxisMetadata):
  """What Flax asks of a box beside `unbox`."""

  def replace_boxed(self, val: chex.Array) -> "_Box":
    return self.replace(value=val)

  def add_axis(self, index: int, params: dict[Any, Any]) -> "_Box":
    raise NotImplementedError("layers that are held as one are not split")

  remove_axis = add_axis


class Part(struct.PyTreeNode, _Box):
  """What one device holds of a parameter.

  Attributes:
    value: the part.
    spec: over which axes of the mesh each dimension is split.
    never: `[]` bool, that never holds and must be there before the whole is
      collected, see `after`; `None`: it may be collected at any time.
  """

  value: chex.Array
  spec: _Spec = struct.field(pytree_node=False)
  never: chex.Array | None = None

  @property
  def axes(self) -> tuple[str, ...]:
    """The axes of the mesh over which the parameter is split."""
    return tuple(jax.tree.leaves(tuple(self.spec)))

  def unbox(self) -> chex.Array:
    """Collect the whole."""
    whole = self.value
    if self.never is not None:
      whole = jnp.where(self.never, jnp.zeros_like(whole), whole)
    with jax.named_scope("gather_params"):
      for dim, names in enumerate(self.spec):
        if names:
          whole = jax.lax.all_gather(whole, names, axis=dim, tiled=True)
    return whole


class Spread(struct.PyTreeNode, _Box):
  """A parameter that is split by the compiler.

  Attributes:
    value: the parameter.
    split: how it lies, and its gradient.
    used: how it lies where it is used.
    dtype: in which it moves, and its gradient.
  """

  value: chex.Array
  split: jax.sharding.Sharding = struct.field(pytree_node=False)
  used: jax.sharding.Sharding = struct.field(pytree_node=False)
  dtype: str = struct.field(pytree_node=False)

  def unbox(self) -> chex.Array:
    """Collect the parameter."""
    with jax.named_scope("gather_params"):
      return _collect(self.value.astype(self.dtype), self.split, self.used)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _collect(value, split, used):
  del split
  return jax.lax.with_sharding_constraint(value, used)


_collect.defvjp(
  lambda value, split, used: (_collect(value, split, used), None),
  lambda split, used, _, grad: (jax.lax.with_sharding_constraint(grad, split),),
)


def side_by_side(layers: Sequence[Any]) -> Any:
  """Return the parameters of layers that are alike as one tree, `[L, ...]`.

  A loop over it gives back those of each, to be collected in its own turn.
  """

  def one(*params):
    first = params[0]
    if not isinstance(first, Spread):
      return jnp.stack(params)
    value = jnp.stack([param.value.astype(first.dtype) for param in params])
    split = jax.sharding.NamedSharding(
      first.split.mesh, _Spec(None, *first.split.spec)
    )
    return first.replace(value=jax.lax.with_sharding_constraint(value, split))

  return jax.tree.map(one, *layers, is_leaf=lambda x: isinstance(x, Spread))


def of(params: Any, specs: Any) -> Any:
  """Return parameters, those that are split as `Part`s.

  Args:
    params: what a device holds, within `shard_map`.
    specs: how each is split, a tree that may end before `params` does.
  """
  specs = jax.tree.broadcast(specs, params)
  return jax.tree.map(
    lambda x, spec: Part(value=x, spec=spec) if any(spec) else x, params, specs
  )


def _is_part(x: Any) -> bool:
  return isinstance(x, Part)


@jax.custom_batching.custom_vmap
def never(array: chex.Array) -> chex.Array:
  """Return what never holds, of which no compiler knows."""
  return jnp.max(array) < jnp.min(array)


@never.def_vmap
def _(axis_size, in_batched, array):
  del axis_size, in_batched
  return never(array), False  # one for all: parameters are not batched


def after(params: Any, array: chex.Array) -> Any:
  """Return parameters that cannot be collected before an array is there.

  Compilers collect early what they can: all parameters ahead of a loop, or all
  layers ahead of the first. `jax.lax.optimization_barrier` keeps them from the
  one but not from the other.
  """
  tied = never(array)
  tie = lambda x: x.replace(never=tied) if _is_part(x) else x
  return jax.tree.map(tie, params, is_leaf=_is_part)


def axes(params: Any) -> tuple[str, ...]:
  """Return over which axes parameters are split, () if they are whole."""
  leaves = jax.tree.leaves(params, is_leaf=_is_part)
  names = (name for x in leaves if _is_part(x) for name in x.axes)
  return tuple(dict.fromkeys(names))


def anywhere(params: Any, running: chex.Array) -> chex.Array:
  """Return whether something holds on any device that shares the parameters.

  A device whose own problems are done goes on passing the network, for nothing,
  while others need its parts.

  Args:
    params: of the network; where they are whole, a device is on its own.
    running: bool.
  """
  names = axes(params)
  if not names:
    return running
  with jax.named_scope("goes_on_anywhere"):
    return jax.lax.pmax(running, names)
