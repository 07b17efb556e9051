"""Low-rank adaptation as a transformation of gradients."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax


@chex.dataclass(frozen=True)
class LoraState:
  """Factors of what was added to the matrices, by their place in the tree.

  Attributes:
    factors: of each leaf `(A [n, r], B [r, m])`, or a leaf of its own that is
      trained whole, or None if it is frozen.
    inner: the state of the optimizer of the factors.
  """

  factors: list[Any]
  inner: Any


def lora(
  inner: optax.GradientTransformation, rank: int, *, scale: float = 1.0
) -> optax.GradientTransformation:
  """Train W = W_0 + scale · A B instead of W (LoRA, Hu et al., 2022, eq. 3).

  The gradients of the factors follow from that of W: dA = scale · dW Bᵀ and
  dB = scale · Aᵀ dW. So the parameters stay as they are, for playing and for
  checkpoints, while the optimizer keeps moments of the factors alone. Kernels
  of layers have factors, a value head is trained whole, all else is frozen.

  Args:
    inner: the optimizer of the factors.
    rank: r.
    scale: of the product, α / r in the paper.
  """

  def init(params):
    factors = [_factors(*leaf, rank) for leaf in _leaves(params)]
    return LoraState(factors=factors, inner=inner.init(factors))

  def update(updates, state, params=None):
    del params  # weights decay in the factors
    gradients = []
    for (_, _, gradient), factor in zip(
      _leaves(updates), state.factors, strict=True
    ):
      if isinstance(factor, tuple):
        a, b = factor
        gradient = gradient.astype(a.dtype)
        gradients.append((scale * gradient @ b.T, scale * a.T @ gradient))
      else:
        gradients.append(None if factor is None else gradient)
    changes, inner_state = inner.update(gradients, state.inner, state.factors)
    factors = optax.apply_updates(state.factors, changes)
    moved = [
      _product(new, scale) - _product(old, scale)
      if isinstance(new, tuple)
      else jnp.zeros_like(leaf)
      if new is None
      else new - old
      for new, old, leaf in zip(
        factors, state.factors, jax.tree.leaves(updates), strict=True
      )
    ]
    moved = jax.tree.unflatten(jax.tree.structure(updates), moved)
    return moved, LoraState(factors=factors, inner=inner_state)

  return optax.GradientTransformation(init, update)


def _leaves(tree):
  """Return the place, path and array of every leaf."""
  flat = jax.tree_util.tree_leaves_with_path(tree)
  return [
    (i, jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
    for i, (path, leaf) in enumerate(flat)
  ]


def _factors(place: int, path: str, leaf: chex.Array, rank: int):
  """Return what is trained of a leaf; the product begins at 0."""
  names = path.split("/")
  if "value_head" in names:
    return jnp.copy(leaf)
  if names[-1] != "kernel" or leaf.ndim != 2 or "lm_head" in names:
    return None
  n, m = leaf.shape
  key = jax.random.fold_in(jax.random.key(0), place)
  a = jax.random.normal(key, (n, rank)) / n**0.5
  return a, jnp.zeros((rank, m))


def _product(factor, scale: float) -> chex.Array:
  a, b = factor
  return scale * a @ b
