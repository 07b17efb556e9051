"""The shortest solved paths that stand in a tree."""

import chex
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


def below(tree: mctx.Tree) -> tuple[chex.Array, chex.Array]:
  """Return of each node how the shortest solution below it begins.

  Args:
    tree: of B searches; its embeddings are `nodes.Node`s.

  Returns:
    The first candidate as one-hot, `[B, N + 1, K]` float32, and the number of
    steps, `[B, N + 1]` int32; zeros where the tree holds no solution below.
  """
  wins = tree.embeddings.wins & (tree.node_visits > 0)[..., None]
  batch, size, k = wins.shape
  rows, none = jnp.arange(batch), size + 1  # longer than any path

  def lead(i, carry):
    """Tell the parent of a node what the node has been told."""
    first, steps = carry
    node = size - 1 - i  # Children are made after their parents.
    parent = jnp.maximum(tree.parents[:, node], 0)
    longer = steps[:, node] + 1
    nearer = longer < steps[rows, parent]
    at = jnp.where(nearer, parent, size)
    action = tree.action_from_parent[:, node]
    return (
      first.at[rows, at].set(action, mode="drop"),
      steps.at[rows, at].set(longer, mode="drop"),
    )

  at_once = jnp.any(wins, axis=-1)
  first, steps = jax.lax.fori_loop(
    0,
    size - 1,
    lead,
    (jnp.argmax(wins, axis=-1), jnp.where(at_once, 1, none)),
  )
  found = steps < none
  one_hot = jax.nn.one_hot(first, k) * found[..., None]
  return one_hot, jnp.where(found, steps, 0)
