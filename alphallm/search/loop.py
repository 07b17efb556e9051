"""The loop over simulations: select, expand and back up, for a batch of trees.

It does what `mctx.search` does, with mctx's selection functions, and finds the
same trees. It differs in what it costs and in what it lets through:

  * Simulations touch what is on their path alone; see `simulation`.
  * Several leaves of a tree can be evaluated at once.
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

from alphallm.search import simulation
from alphallm.search.simulation import ROOT, UNVISITED
from alphallm.search.simulation import Visit as Visit

# (shared, visit, embedding of the parent, carry) ->
#   (mctx.RecurrentFnOutput, embedding of the child, note)
Expand = Callable[
  [Any, Visit, Any, Any], tuple[mctx.RecurrentFnOutput, Any, Any]
]
# (carry, visit, note) -> carry
Absorb = Callable[[Any, Visit, Any], Any]
# carry -> carry, in which all that was absorbed is where it is read
Settle = Callable[[Any], Any]


def forget(carry: Any, visit: Visit, note: Any) -> Any:
  """Absorb nothing."""
  del visit, note
  return carry


def search(
  rng_keys: chex.PRNGKey,
  tree: mctx.Tree,
  *,
  expand_fn: Expand,
  absorb_fn: Absorb = forget,
  settle_fn: Settle = lambda carry: carry,
  root_action_selection_fn: Callable[..., chex.Array],
  interior_action_selection_fn: Callable[..., chex.Array],
  max_depth: chex.Numeric,
  budget: chex.Array | None = None,
  held: chex.Array | None = None,
  shared: Any = (),
  carry: Any = (),
  is_done: Callable[[mctx.Tree, Any, chex.Array], chex.Array] | None = None,
  sizes: Sequence[int] = (),
  width: int = 1,
) -> tuple[mctx.Tree, Any]:
  """Run the simulations.

  Args:
    rng_keys: `[B]` keys (consumed).
    tree: from `plant`, with room for N simulations; N may be 0.
    expand_fn: evaluates a child; what it returns for resting trees is dropped,
      except for its note.
    absorb_fn: puts the note of an evaluation into the carry, which is settled.
    settle_fn: puts into its place what `absorb_fn` left beside it; called
      before anything is read of the carry, and at the end.
    root_action_selection_fn: as mctx has it.
    interior_action_selection_fn: as mctx has it.
    max_depth: D, most edges from the root to a leaf; may be traced.
    budget: `[B]` int32, simulations of each tree; `None`: N.
    held: `[B]` int32, nodes that stand in each tree already, without its root;
      with the budget at most N. `None`: none.
    shared: what `expand_fn` reads, `[B, ...]`.
    carry: what it reads too, and what changes from simulation to simulation.
    is_done: `(tree, carry, left) -> [B]` bool, the trees that rest; `left`,
      `[B]`, is what is left of their budgets. `None`: none does.
    sizes: of smaller batches, falling. As soon as no more trees want something
      than fit into the next one, they go on in it, without those that rest.
      Then the carry is `[B, ...]` too.
    width: leaves of a tree that are evaluated at once. Each path but the first
      sees the visits of those before it, and none of their values. Of Gumbel's
      sequential halving, width K is a round at a time, as it was conceived.

  Returns:
    The trees, `[B, N + 1, ...]`, and the carry.
  """
  batch, num_simulations = tree.node_values.shape[0], tree.num_simulations
  if num_simulations == 0:
    return tree, carry
  if budget is None:
    budget = jnp.full((batch,), num_simulations, jnp.int32)

  if width > 1 and sizes:
    raise ValueError("smaller batches are for searches of width 1")

  def number(sim, held):
    """Return the index of the nodes that come next."""
    return sim + 1 if held is None else sim + 1 + held

  def wants_more(sim, trees):
    _, budget, _, _, tree, carry = trees
    left = jnp.minimum(budget, num_simulations) - sim
    if is_done is None:
      return left > 0
    return (left > 0) & ~is_done(tree, carry, left)

  walk = functools.partial(
    simulation.select,
    root_fn=root_action_selection_fn,
    interior_fn=interior_action_selection_fn,
    max_depth=max_depth,
  )
  fold = jax.vmap(jax.random.fold_in, (0, None if width == 1 else 0))

  def simulate(state):
    sim, trees = state
    rng_keys, budget, held, shared, tree, carry = trees
    active = wants_more(sim, trees)
    carry = settle_fn(carry)
    path = walk(fold(rng_keys, sim), tree, active=active)
    visit, parent = simulation.ask(tree, path, number(sim, held), active)
    output, child, note = expand_fn(shared, visit, parent, carry)
    carry = absorb_fn(carry, visit, note)
    tree = simulation.insert(tree, path, visit, output, child)
    tree = simulation.backup(tree, path, visit.node, active)
    return sim + 1, (rng_keys, budget, held, shared, tree, carry)

  def simulate_several(state):
    """Make up to `width` paths, evaluate their ends at once, back them up."""
    sim, trees = state
    rng_keys, budget, held, shared, tree, carry = trees
    wanted = wants_more(sim, trees)
    carry = settle_fn(carry)

    def choose(state, place):
      sim, shadow, ends = state
      active = wanted & (sim < jnp.minimum(budget, num_simulations))
      keys = jax.vmap(jax.random.fold_in, (0, None))(fold(rng_keys, sim), place)
      path = walk(keys, shadow, active=active)
      shadow = simulation.pretend(shadow, path, active)
      end = jnp.stack(path.end, axis=-1)
      # Where an earlier path ends there already, this one is given up.
      active &= ~jnp.any(jnp.all(ends == end[None], axis=-1), axis=0)
      asked = simulation.ask(tree, path, number(sim, held), active)
      ends = ends.at[place].set(jnp.where(active[:, None], end, -1))
      return (sim + active, shadow, ends), (path, *asked)

    ends = jnp.full((width, batch, 2), -1)
    (sim, _, _), (paths, visits, parents) = jax.lax.scan(
      choose, (sim, tree, ends), jnp.arange(width)
    )
    made = jax.vmap(expand_fn, (None, 0, 0, None))(
      shared, visits, parents, carry
    )

    def put(state, one):
      tree, carry = state
      path, visit, (output, child, note) = one
      carry = absorb_fn(settle_fn(carry), visit, note)
      tree = simulation.insert(tree, path, visit, output, child)
      tree = simulation.backup(tree, path, visit.node, visit.active)
      return (tree, carry), ()

    (tree, carry), _ = jax.lax.scan(put, (tree, carry), (paths, visits, made))
    return sim, (rng_keys, budget, held, shared, tree, carry)

  def run(sim, trees, sizes):
    """Simulate until what is left fits into the next size; go on there."""
    fits = sizes[0] if sizes else 0
    sim, trees = jax.lax.while_loop(
      lambda state: jnp.sum(wants_more(*state)) > fits,
      simulate if width == 1 else simulate_several,
      (sim, trees),
    )
    trees = *trees[:-1], settle_fn(trees[-1])
    if not sizes:
      return trees[-2:]
    rows = jnp.argsort(~wants_more(sim, trees))[:fits]
    few = jax.tree.map(lambda x: x[rows], trees)
    few = run(sim, few, sizes[1:])
    return jax.tree.map(lambda x, y: x.at[rows].set(y), trees[-2:], few)

  trees = (rng_keys, budget, held, shared, tree, carry)
  begun = jnp.int32(0) if width == 1 else jnp.zeros((batch,), jnp.int32)
  return run(begun, jax.tree.map(jnp.asarray, trees), sizes)


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
