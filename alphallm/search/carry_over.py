"""Subtree carry-over: what was found below a played step is searched on.

After a move the child that was played becomes the root of the next search; its
subtree stays, with visits, values and pages, and is brought up to the budget.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.search import loop, tree_cache

_NOWHERE = mctx.Tree.NO_PARENT


@chex.dataclass(frozen=True)
class Forest:
  """B trees between two searches.

  Attributes:
    tree: the trees; their embeddings are `nodes.Node`s.
    cache: keys and values of the roots' contexts and of the nodes.
    size: `[B]` int32, nodes of each tree; 0: there is none.
  """

  tree: mctx.Tree
  cache: tree_cache.Cache
  size: chex.Array


def bare(plant: Callable[[], tuple[Forest, types.Cost]]) -> Forest:
  """Return a forest without trees, of the shapes of planted ones."""
  shapes = jax.eval_shape(plant)[0]
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def complete(
  forest: Forest,
  plant: Callable[[], tuple[Forest, types.Cost]],
  anywhere: Callable[[chex.Array], chex.Array],
) -> tuple[Forest, types.Cost]:
  """Plant trees where there are none; return also what that has cost.

  Args:
    forest: what was carried over.
    plant: makes roots for all; not called if no tree is missing.
    anywhere: see `loop.search`.
  """
  kept = forest.size > 0
  zeros = lambda: jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(plant)
  )
  fresh, cost = jax.lax.cond(anywhere(~jnp.all(kept)), plant, zeros)

  def choose(old, new):
    return jnp.where(kept.reshape(kept.shape + (1,) * (old.ndim - 1)), old, new)

  forest = jax.tree.map(choose, forest, fresh)
  return forest, jax.tree.map(lambda x: jnp.where(kept, 0, x), cost)


def follow(
  tree: mctx.Tree,
  cache: tree_cache.Cache,
  action: chex.Array,
  going_on: chex.Array,
) -> Forest:
  """Return the subtrees below the actions that were played.

  Args:
    tree: after a search.
    cache: of the search.
    action: `[B]` int32, played at the root.
    going_on: `[B]` bool; of the others nothing is kept.
  """
  batch, room = tree.node_visits.shape
  rows = jnp.arange(batch)[:, None]
  child = tree.children_index[rows[:, 0], loop.ROOT, action]
  below = _descendants(tree, child) & (tree.node_visits > 0)
  below &= (going_on & (child != loop.UNVISITED))[:, None]
  size = jnp.sum(below, axis=-1)
  # Nodes keep their order, so that a child stands behind its parent.
  place = jnp.where(below, jnp.cumsum(below, axis=-1) - 1, room)
  origin = jnp.full((batch, room), room)
  origin = origin.at[rows, place].set(jnp.arange(room)[None], mode="drop")
  is_node = origin < room
  origin = jnp.minimum(origin, room - 1)

  def move(x, blank):
    at = is_node.reshape(batch, room, *(1,) * (x.ndim - 2))
    return jnp.where(at, x[rows, origin], jnp.asarray(blank, x.dtype))

  def rename(x, nobody):
    """Return the new indices of nodes; those that are gone become `nobody`."""
    flat = jnp.maximum(x.reshape(batch, -1), 0)
    there = place[rows, flat].reshape(x.shape)
    return jnp.where((x >= 0) & (there < room), there, nobody)

  at_root = lambda x, value: x.at[:, loop.ROOT].set(value)
  nodes = jax.tree.map(lambda x: move(x, 0), tree.embeddings)
  pages = rename(nodes.pages[..., 1:] + 1, 0) - 1  # page p is of node p + 1
  last = jnp.full_like(nodes.pages[..., :1], tree_cache.NO_PAGE)
  nodes = nodes.replace(
    depth=nodes.depth - 1, pages=jnp.concatenate([pages, last], axis=-1)
  )
  tree = tree.replace(
    node_visits=move(tree.node_visits, 0),
    raw_values=move(tree.raw_values, 0),
    node_values=move(tree.node_values, 0),
    parents=at_root(rename(move(tree.parents, -1), _NOWHERE), _NOWHERE),
    action_from_parent=at_root(
      move(tree.action_from_parent, _NOWHERE), _NOWHERE
    ),
    children_index=rename(
      move(tree.children_index, loop.UNVISITED), loop.UNVISITED
    ),
    children_prior_logits=move(tree.children_prior_logits, 0),
    children_values=move(tree.children_values, 0),
    children_visits=move(tree.children_visits, 0),
    children_rewards=move(tree.children_rewards, 0),
    children_discounts=move(tree.children_discounts, 0),
    embeddings=nodes,
    root_invalid_actions=jnp.zeros_like(tree.root_invalid_actions),
    extra_data=None,
  )
  length = nodes.context_length[:, loop.ROOT]
  cache = tree_cache.follow(cache, origin[:, 1:] - 1, child - 1, length)
  return Forest(tree=tree, cache=cache, size=size)


def _descendants(tree: mctx.Tree, top: chex.Array) -> chex.Array:
  """Return which nodes, `[B, N + 1]`, are `top`, `[B]`, or stand below it."""
  batch, room = tree.parents.shape
  rows = jnp.arange(batch)[:, None]
  found = jnp.arange(room)[None] == top[:, None]
  above = jnp.maximum(tree.parents, loop.ROOT)
  for _ in range(room.bit_length()):  # Twice as far up each time.
    found |= found[rows, above]
    above = above[rows, above]
  return found
