"""The loop over simulations, and what changes in it beside the tree."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.search import tree_cache


@dataclasses.dataclass
class Beside:
  """What a simulation reads and changes, and mctx does not see.

  It is filled anew while a simulation is traced: `run` sets its fields,
  `recurrent_fn` reads and replaces them, `run` carries them on.

  Attributes:
    pages: the pages of the tree; () where there are none.
    cost: what has been spent.
    sim: `[]` int32, the number of the simulation, once there is one.
  """

  pages: tree_cache.Pages | tuple[()]
  cost: types.Cost
  sim: chex.Array | None = None


def run(
  beside: Beside,
  lower: int,
  upper: int,
  body: Callable[[chex.Array, Any], Any],
  init: Any,
  *,
  stop_when_solved: bool,
) -> Any:
  """Run simulations as mctx's `loop_fn`, and carry `beside` along.

  Args:
    beside: holds what was before the loop, and afterwards what is behind it.
    lower: the first simulation.
    upper: one more than the last.
    body: mctx's simulation.
    init: a key and the tree, its embeddings `mcts.Node`s.
    stop_when_solved: whether a problem is searched no further once its tree
      holds a solution, and the loop ends once all do.

  Returns:
    The key and the tree after the simulations.
  """
  if lower == upper:  # The body cannot even be traced.
    return init

  def is_solved(tree):
    return jnp.any(tree.embeddings.wins, (1, 2))

  def is_running(carry):
    sim, _, _, (_, tree) = carry
    if not stop_when_solved:
      return sim < upper
    return (sim < upper) & ~jnp.all(is_solved(tree))

  def simulate(carry):
    sim, pages, cost, (key, tree) = carry
    beside.sim, beside.pages, beside.cost = sim, pages, cost
    key, after = body(sim, (key, tree))
    if stop_when_solved:
      # A problem that is solved waits for the others, as it is.
      solved = is_solved(tree)
      wait = lambda old, new: jnp.where(
        solved.reshape(solved.shape + (1,) * (new.ndim - 1)), old, new
      )
      after = jax.tree.map(wait, tree, after)
      beside.cost = jax.tree.map(wait, cost, beside.cost)
    return sim + 1, beside.pages, beside.cost, (key, after)

  carry = (jnp.asarray(lower, jnp.int32), beside.pages, beside.cost, init)
  _, beside.pages, beside.cost, after = jax.lax.while_loop(
    is_running, simulate, carry
  )
  return after
