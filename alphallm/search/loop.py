"""The loop over simulations: select, expand and back up, for a batch of trees.

It does what `mctx.search` does, on mctx's own `Tree` and with mctx's selection
functions, and finds the same trees. It differs in what it costs and in what it
lets through:

  * A simulation remembers its path, so that the whole of it is backed up at
    once, by scatters of the path's length; nothing is done with whole trees.
  * A tree that is done rests: nothing of it is touched. The others can go on in
    a smaller batch, and the loop ends when all trees rest.
  * What changes beside the trees (pages, costs) is carried along.
  * Noise comes from a key per tree: a result does not depend on its batch.
"""

import functools
from collections.abc import Callable, Sequence
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
    active: `[B]` bool, zeros = the tree rests and the answer is not used.
  """

  new_node: chex.Array
  node: chex.Array
  action: chex.Array
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


# (shared, visit, embedding of the parent, carry) ->
#   (mctx.RecurrentFnOutput, embedding of the child, carry)
Expand = Callable[
  [Any, Visit, Any, Any], tuple[mctx.RecurrentFnOutput, Any, Any]
]


def search(
  rng_keys: chex.PRNGKey,
  tree: mctx.Tree,
  *,
  expand_fn: Expand,
  root_action_selection_fn: Callable[..., chex.Array],
  interior_action_selection_fn: Callable[..., chex.Array],
  max_depth: chex.Numeric,
  budget: chex.Array | None = None,
  held: chex.Array | None = None,
  shared: Any = (),
  carry: Any = (),
  is_done: Callable[[Any], chex.Array] | None = None,
  sizes: Sequence[int] = (),
) -> tuple[mctx.Tree, Any]:
  """Run the simulations.

  Args:
    rng_keys: `[B]` keys (consumed).
    tree: from `plant`, with room for N simulations; N may be 0.
    expand_fn: evaluates a child; what it returns for resting trees is dropped,
      except in the carry.
    root_action_selection_fn: as mctx has it.
    interior_action_selection_fn: as mctx has it.
    max_depth: D, most edges from the root to a leaf; may be traced.
    budget: `[B]` int32, simulations of each tree; `None`: N.
    held: `[B]` int32, nodes that stand in each tree already, without its root;
      with the budget at most N. `None`: none.
    shared: what `expand_fn` reads, `[B, ...]`.
    carry: what it reads and replaces from simulation to simulation.
    is_done: `carry -> [B]` bool, the trees that rest; `None`: none does.
    sizes: of smaller batches, falling. As soon as no more trees want something
      than fit into the next one, they go on in it, without those that rest.
      Then the carry is `[B, ...]` too.

  Returns:
    The trees, `[B, N + 1, ...]`, and the carry.
  """
  batch, num_simulations = tree.node_values.shape[0], tree.num_simulations
  if num_simulations == 0:
    return tree, carry
  if budget is None:
    budget = jnp.full((batch,), num_simulations, jnp.int32)

  def wants_more(sim, trees):
    budget, carry = trees[1], trees[-1]
    more = sim < jnp.minimum(budget, num_simulations)
    return more & ~is_done(carry) if is_done else more

  def simulate(state):
    sim, trees = state
    rng_keys, budget, held, shared, tree, carry = trees
    new_node = sim + 1 if held is None else sim + 1 + held
    active = wants_more(sim, trees)
    path = select(
      jax.vmap(jax.random.fold_in, (0, None))(rng_keys, sim),
      tree,
      root_action_selection_fn,
      interior_action_selection_fn,
      max_depth=max_depth,
      active=active,
    )
    evaluate = functools.partial(expand_fn, shared)
    tree, carry, leaf = expand(tree, path, evaluate, carry, new_node, active)
    tree = backup(tree, path, leaf, active)
    return sim + 1, (rng_keys, budget, held, shared, tree, carry)

  def run(sim, trees, sizes):
    """Simulate until what is left fits into the next size; go on there."""
    fits = sizes[0] if sizes else 0
    sim, trees = jax.lax.while_loop(
      lambda state: jnp.sum(wants_more(*state)) > fits, simulate, (sim, trees)
    )
    if not sizes:
      return trees[-2:]
    rows = jnp.argsort(~wants_more(sim, trees))[:fits]
    few = jax.tree.map(lambda x: x[rows], trees)
    few = run(sim, few, sizes[1:])
    return jax.tree.map(lambda x, y: x.at[rows].set(y), trees[-2:], few)

  trees = (rng_keys, budget, held, shared, tree, carry)
  return run(jnp.int32(0), jax.tree.map(jnp.asarray, trees), sizes)


def plant(
  root: mctx.RootFnOutput,
  num_simulations: int,
  invalid_actions: chex.Array | None = None,
  extra_data: Any = None,
) -> mctx.Tree:
  """Return trees that hold their roots, with room for N more nodes.

  Args:
    root: prior logits `[B, K]`, value `[B]`, embedding `[B, ...]`.
    num_simulations: N.
    invalid_actions: `[B, K]`, ones = invalid at the root; `None`: none is.
    extra_data: of the trees, `[B, ...]`.
  """
  batch, k = root.prior_logits.shape
  if invalid_actions is None:
    invalid_actions = jnp.zeros((batch, k), bool)
  room = (batch, num_simulations + 1)
  dtype = root.value.dtype
  at_root = lambda x: jnp.zeros(room + x.shape[1:], x.dtype).at[:, ROOT].set(x)
  return mctx.Tree(
    node_visits=at_root(jnp.ones((batch,), jnp.int32)),
    raw_values=at_root(root.value),
    node_values=at_root(root.value),
    parents=jnp.full(room, mctx.Tree.NO_PARENT, jnp.int32),
    action_from_parent=jnp.full(room, mctx.Tree.NO_PARENT, jnp.int32),
    children_index=jnp.full((*room, k), UNVISITED, jnp.int32),
    children_prior_logits=at_root(root.prior_logits),
    children_values=jnp.zeros((*room, k), dtype),
    children_visits=jnp.zeros((*room, k), jnp.int32),
    children_rewards=jnp.zeros((*room, k), dtype),
    children_discounts=jnp.zeros((*room, k), dtype),
    embeddings=jax.tree.map(at_root, root.embedding),
    root_invalid_actions=invalid_actions,
    extra_data=extra_data,
  )


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


def expand(
  tree: mctx.Tree,
  path: Path,
  expand_fn: Callable[..., Any],
  carry: Any,
  new_node: chex.Array,
  active: chex.Array,
) -> tuple[mctx.Tree, Any, chex.Array]:
  """Evaluate the ends of the paths and put them into the trees.

  Args:
    tree: the trees.
    path: as `select` found it.
    expand_fn: evaluates; as of `search`, given what is shared.
    carry: passed through it.
    new_node: `[]` or `[B]` int32, index of the nodes that are new.
    active: `[B]` bool, the trees that change.

  Returns:
    The trees, the carry, and the indices of the nodes evaluated, `[B]`.
  """
  rows = jnp.arange(active.shape[0])
  parent = path.nodes[rows, path.length - 1]
  action = path.actions[rows, path.length - 1]
  node = tree.children_index[rows, parent, action]
  # At the greatest depth a node that is there already is evaluated again.
  node = jnp.where(node == UNVISITED, new_node, node)
  output, embedding, carry = expand_fn(
    Visit(new_node=new_node, node=node, action=action, active=active),
    jax.tree.map(lambda x: x[rows, parent], tree.embeddings),
    carry,
  )
  place = jnp.where(active, node, tree.node_visits.shape[1])  # or nowhere
  above = jnp.where(active, parent, tree.node_visits.shape[1])
  put = lambda x, new: x.at[rows, place].set(new, mode="drop")
  link = lambda x, new: x.at[rows, above, action].set(new, mode="drop")
  return (
    tree.replace(
      node_visits=tree.node_visits.at[rows, place].add(1, mode="drop"),
      raw_values=put(tree.raw_values, output.value),
      node_values=put(tree.node_values, output.value),
      parents=put(tree.parents, parent),
      action_from_parent=put(tree.action_from_parent, action),
      children_prior_logits=put(
        tree.children_prior_logits, output.prior_logits
      ),
      children_index=link(tree.children_index, node),
      children_rewards=link(tree.children_rewards, output.reward),
      children_discounts=link(tree.children_discounts, output.discount),
      embeddings=jax.tree.map(put, tree.embeddings, embedding),
    ),
    carry,
    node,
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
