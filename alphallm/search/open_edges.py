"""Edges that can still lead to something new; a tree without any is known.

Where a search may ask the checker, a tree of which nothing is open holds all
that its candidates can bring: if it holds no solution by then, none can win any
more, and further simulations would but visit its ends again.
"""

import chex
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.search.candidates import IMPOSSIBLE


def is_legal(prior_logits: chex.Array) -> chex.Array:
  """Return which edges a search that is told the rules would follow."""
  return prior_logits > IMPOSSIBLE / 2


def of_node(
  prior_logits: chex.Array,
  state: types.State,
  depth: chex.Array,
  max_depth: chex.Numeric,
) -> chex.Array:
  """Return how many edges below new nodes are open, `[...]` int32.

  Args:
    prior_logits: `[..., K]`.
    state: of the nodes, `[...]`.
    depth: `[...]` int32, edges from the root.
    max_depth: D; edges below that are never followed.
  """
  legal = jnp.sum(is_legal(prior_logits), axis=-1)
  goes_on = ~state.terminated & (depth < max_depth)
  return jnp.where(goes_on, legal, 0)


def of_tree(tree: mctx.Tree, max_depth: chex.Numeric) -> chex.Array:
  """Return how many edges of trees are open, `[B]` int32.

  Args:
    tree: its embeddings are `nodes.Node`s.
    max_depth: D.
  """
  unvisited = tree.children_index == mctx.Tree.UNVISITED
  nodes = tree.embeddings
  edges = of_node(
    jnp.where(unvisited, tree.children_prior_logits, IMPOSSIBLE),
    nodes.state,
    nodes.depth,
    max_depth,
  )
  return jnp.sum(jnp.where(tree.node_visits > 0, edges, 0), axis=-1)
