"""A tree that can win no more is grown anew, from other candidates.

A tree of K candidates a node holds a part of all steps. Once no edge of it is
open, and it holds no solution, simulations bring nothing more (see
`open_edges`); what is left of the budget is spent on another one.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.search import open_edges, search_config


def search(
  grow: Callable[[chex.PRNGKey, search_config.Dials], Any],
  rng_keys: chex.PRNGKey,
  dials: search_config.Dials,
) -> Any:
  """Search with one tree after the other, until one solves or nothing is left.

  Args:
    grow: searches with one tree for each of B problems, `tree_search.Move`s.
    rng_keys: `[B]` keys, those of the first trees (consumed).
    dials: `num_simulations` is the budget of all trees of a problem; a root
      counts as one simulation, that of the first tree aside.

  Returns:
    Of each problem the tree that solves it, or else the first; the cost is that
    of all its trees.
  """

  def goes_on(carry):
    tries, left, _ = carry
    return (tries == 0) | jnp.any(left > 0)

  def again(carry):
    tries, left, kept = carry
    is_first = tries == 0
    others = jax.vmap(jax.random.fold_in, (0, None))(rng_keys, tries)
    found = grow(
      jnp.where(is_first, rng_keys, others), dials.replace(num_simulations=left)
    )
    tree, searched = found.tree, is_first | (left > 0)
    better = is_first | (searched & found.line.solves)

    def choose(new, old):
      at = better.reshape(better.shape + (1,) * (new.ndim - 1))
      return jnp.where(at, new, old)

    spent = jax.tree.map(lambda x: jnp.where(searched, x, 0), found.cost)
    cost = kept.cost + spent
    kept = jax.tree.map(choose, found, kept).replace(cost=cost)
    wins_no_more = open_edges.of_tree(tree, dials.max_depth) == 0
    wants = searched & wins_no_more & ~found.line.solves
    used = tree.node_visits[:, tree.ROOT_INDEX]  # one for the next root
    return tries + 1, jnp.where(wants, jnp.maximum(left - used, 0), 0), kept

  left = jnp.broadcast_to(dials.num_simulations, rng_keys.shape)
  left = left.astype(jnp.int32)
  shapes = jax.eval_shape(grow, rng_keys, dials.replace(num_simulations=left))
  blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return jax.lax.while_loop(goes_on, again, (jnp.int32(0), left, blank))[-1]
