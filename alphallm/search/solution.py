"""The shortest solved path that stands in a tree."""

import jax
import jax.numpy as jnp
import mctx

from alphallm import types


def shortest(tree: mctx.Tree, played: types.Line, length: int) -> types.Line:
  """Return the shortest solved path of each tree, or else the move `played`.

  Args:
    tree: of B searches; its embeddings are `nodes.Node`s.
    played: the move to play where the tree holds no solution, M = 1.
    length: M of the result, at least one more than the tree is deep.
  """
  nodes = tree.embeddings
  batch, _, k = nodes.wins.shape
  rows = jnp.arange(batch)
  solves = jnp.any(nodes.wins, axis=-1) & (tree.node_visits > 0)
  depth = jnp.where(solves, nodes.depth, jnp.iinfo(jnp.int32).max)
  node = jnp.argmin(depth, axis=-1)
  found = jnp.any(solves, axis=-1)
  depth = jnp.where(found, nodes.depth[rows, node], 0)
  node = jnp.where(found, node, tree.ROOT_INDEX)
  action = jnp.where(
    found, jnp.argmax(nodes.wins[rows, node], axis=-1), played.actions[:, 0]
  )

  m = length
  path = jnp.zeros((batch, m), jnp.int32)
  actions = jnp.zeros((batch, m), jnp.int32)
  place = depth
  for _ in range(m):  # From the end of the path to the root.
    at = jnp.where(place >= 0, place, m)
    path = path.at[rows, at].set(node, mode="drop")
    actions = actions.at[rows, at].set(action, mode="drop")
    action = jnp.maximum(tree.action_from_parent[rows, node], 0)
    node = jnp.maximum(tree.parents[rows, node], 0)
    place = place - 1

  there = jnp.arange(m)[None] <= depth[:, None]
  one_hot = jax.nn.one_hot(actions, k) * there[..., None]
  return types.Line(
    tokens=nodes.tokens[rows[:, None], path],
    lengths=nodes.lengths[rows[:, None], path],
    actions=actions,
    weights=jnp.where(
      found[:, None, None],
      one_hot,
      jnp.pad(played.weights, ((0, 0), (0, m - 1), (0, 0))),
    ),
    length=depth + 1,
    solves=found,
  )
