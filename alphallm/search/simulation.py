"""One simulation in a batch of trees: select, ask, insert, back up.

What `mctx.search` does, on mctx's own `Tree`. A simulation remembers its path,
so that the whole of it is backed up at once, by scatters of the path's length;
nothing is done with whole trees.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx

ROOT, UNVISITED = mctx.Tree.ROOT_INDEX, mctx.Tree.UNVISITED


@chex.dataclass(frozen=True)
class Visit:
  """What a simulation asks to be evaluated.

  Attributes:
    new_node: `[]` int32, index of the nodes that it makes; `[B]` if some trees
      held more nodes than others before.
    node: `[B]` int32, index that the child has, or is to have, in its tree.
    action: `[B]` int32, the action that leads to it from its parent.
    prior_logits: `[B]`, of that action.
    active: `[B]` bool, zeros = the tree rests and the answer is not used.
  """

  new_node: chex.Array
  node: chex.Array
  action: chex.Array
  prior_logits: chex.Array
  active: chex.Array


@chex.dataclass(frozen=True)
class Path:
  """The edges from the root to the leaf of a simulation.

  Attributes:
    nodes: `[B, D]` int32, the node that each edge leaves.
    actions: `[B, D]` int32.
    length: `[B]` int32, number of edges, at least 1.
  """

  nodes: chex.Array
  actions: chex.Array
  length: chex.Array

  @property
  def end(self) -> tuple[chex.Array, chex.Array]:
    """The last edge: the node that it leaves, and the action, both `[B]`."""
    rows = jnp.arange(self.length.shape[0])
    return tuple(x[rows, self.length - 1] for x in (self.nodes, self.actions))


def select(
  rng_keys: chex.PRNGKey,
  tree: mctx.Tree,
  root_fn: Callable[..., chex.Array],
  interior_fn: Callable[..., chex.Array],
  *,
  max_depth: chex.Numeric,
  active: chex.Array,
) -> Path:
  """Walk from the roots to edges that lead to no node yet, or are the last.

  Args:
    rng_keys: `[B]` keys (consumed).
    tree: the trees.
    root_fn: chooses an action at the root.
    interior_fn: chooses one below it.
    max_depth: D.
    active: `[B]` bool; the path of a resting tree is of no use.
  """
  batch, room = active.shape[0], tree.num_simulations
  rows = jnp.arange(batch)
  fold = jax.vmap(jax.random.fold_in, (0, None))
  choose_below = jax.vmap(interior_fn, (0, 0, 0, None))

  def is_walking(walk):
    return jnp.any(walk[-1])

  def go_down(walk):
    depth, path, node, walking = walk
    action = choose_below(fold(rng_keys, depth), tree, node, depth)
    path = note(path, depth, node, action, walking)
    return (depth + 1, path, *look(depth + 1, node, action, walking))

  def note(path, depth, node, action, walking):
    put = lambda row, new: jax.lax.dynamic_update_slice_in_dim(
      row, new[:, None], depth, axis=1
    )
    return Path(
      nodes=put(path.nodes, node),
      actions=put(path.actions, action),
      length=jnp.where(walking, depth + 1, path.length),
    )

  def look(depth, node, action, walking):
    """Return the node behind an edge, and whether to walk on from it."""
    child = tree.children_index[rows, node, action]
    walking &= (child != UNVISITED) & (depth < max_depth)
    return jnp.where(walking, child, ROOT), walking

  deepest = min(max_depth, room) if isinstance(max_depth, int) else room
  blank = jnp.zeros((batch, deepest), jnp.int32)
  at_root = jnp.full((batch,), ROOT, jnp.int32)
  action = jax.vmap(root_fn, (0, 0, None))(fold(rng_keys, 0), tree, ROOT)
  path = Path(nodes=blank, actions=blank, length=jnp.ones_like(at_root))
  path = note(path, 0, at_root, action, active)
  walk = (jnp.int32(1), path, *look(1, at_root, action, active))
  return jax.lax.while_loop(is_walking, go_down, walk)[1]


def ask(
  tree: mctx.Tree, path: Path, new_node: chex.Array, active: chex.Array
) -> tuple[Visit, Any]:
  """Return what is to be evaluated at the ends of the paths.

  Args:
    tree: the trees.
    path: as `select` found it.
    new_node: `[]` or `[B]` int32, index of the nodes that are new.
    active: `[B]` bool, the trees that change.

  Returns:
    The visits, and the embeddings of the nodes that the last edges leave.
  """
  rows = jnp.arange(active.shape[0])
  parent, action = path.end
  node = tree.children_index[rows, parent, action]
  # At the greatest depth a node that is there already is evaluated again.
  node = jnp.where(node == UNVISITED, new_node, node)
  visit = Visit(
    new_node=new_node,
    node=node,
    action=action,
    prior_logits=tree.children_prior_logits[rows, parent, action],
    active=active,
  )
  return visit, jax.tree.map(lambda x: x[rows, parent], tree.embeddings)


def insert(
  tree: mctx.Tree,
  path: Path,
  visit: Visit,
  output: mctx.RecurrentFnOutput,
  embedding: Any,
) -> mctx.Tree:
  """Put what was evaluated into the trees, those that change."""
  rows = jnp.arange(visit.active.shape[0])
  parent, action = path.end
  nowhere = tree.node_visits.shape[1]
  place = jnp.where(visit.active, visit.node, nowhere)
  above = jnp.where(visit.active, parent, nowhere)
  put = lambda x, new: x.at[rows, place].set(new, mode="drop")
  link = lambda x, new: x.at[rows, above, action].set(new, mode="drop")
  return tree.replace(
    node_visits=tree.node_visits.at[rows, place].add(1, mode="drop"),
    raw_values=put(tree.raw_values, output.value),
    node_values=put(tree.node_values, output.value),
    parents=put(tree.parents, parent),
    action_from_parent=put(tree.action_from_parent, action),
    children_prior_logits=put(tree.children_prior_logits, output.prior_logits),
    children_index=link(tree.children_index, visit.node),
    children_rewards=link(tree.children_rewards, output.reward),
    children_discounts=link(tree.children_discounts, output.discount),
    embeddings=jax.tree.map(put, tree.embeddings, embedding),
  )


def backup(
  tree: mctx.Tree, path: Path, leaf: chex.Array, active: chex.Array
) -> mctx.Tree:
  """Add the leaves' values to all nodes of their paths.

  Args:
    tree: the trees, with the leaves in them.
    path: from the roots to the leaves.
    leaf: `[B]` int32, the leaves.
    active: `[B]` bool, the trees that change.
  """
  batch, depth = path.nodes.shape
  rows = jnp.arange(batch)[:, None]
  places = jnp.arange(depth)[None]
  on_path = (places < path.length[:, None]) & active[:, None]
  edge = (rows, path.nodes, path.actions)
  rewards = tree.children_rewards[edge]
  discounts = tree.children_discounts[edge]

  def discount_up(i, carry):
    value, returns = carry
    at = jnp.max(path.length) - 1 - i
    column = lambda x: jax.lax.dynamic_index_in_dim(x, at, 1, keepdims=False)
    value = jnp.where(
      at < path.length, column(rewards) + column(discounts) * value, value
    )
    returns = jax.lax.dynamic_update_slice_in_dim(
      returns, value[:, None], at, axis=1
    )
    return value, returns

  leaf_value = tree.node_values[rows[:, 0], leaf]
  _, returns = jax.lax.fori_loop(
    0, jnp.max(path.length), discount_up, (leaf_value, jnp.zeros_like(rewards))
  )
  visits = tree.node_visits[rows, path.nodes]
  values = tree.node_values[rows, path.nodes]
  values = (values * visits + returns) / (visits + 1.0)
  below = jnp.roll(values, -1, axis=1)  # of the node that an edge leads to
  last = places == path.length[:, None] - 1
  below = jnp.where(last, leaf_value[:, None], below)
  node = jnp.where(on_path, path.nodes, tree.node_visits.shape[1])
  edge = (rows, node, path.actions)
  return tree.replace(
    node_visits=tree.node_visits.at[rows, node].add(1, mode="drop"),
    node_values=tree.node_values.at[rows, node].set(values, mode="drop"),
    children_visits=tree.children_visits.at[edge].add(1, mode="drop"),
    children_values=tree.children_values.at[edge].set(below, mode="drop"),
  )


def pretend(tree: mctx.Tree, path: Path, active: chex.Array) -> mctx.Tree:
  """Add visits that are under way to the paths, so that others go elsewhere.

  An edge that leads to no node yet counts as if it were worth nothing (a
  virtual loss); of all others the values are what is known of them.
  """
  batch, depth = path.nodes.shape
  rows = jnp.arange(batch)[:, None]
  on_path = (jnp.arange(depth)[None] < path.length[:, None]) & active[:, None]
  node = jnp.where(on_path, path.nodes, tree.node_visits.shape[1])
  visits = tree.children_visits.at[rows, node, path.actions].add(1, mode="drop")
  return tree.replace(
    node_visits=tree.node_visits.at[rows, node].add(1, mode="drop"),
    children_visits=visits,
  )
