"""Tree search for one move: over candidate steps, with pages in the tree."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.search import expansion, loop, solution
from alphallm.search.candidates import IMPOSSIBLE
from alphallm.search.search_config import Permission as Permission
from alphallm.search.search_config import SearchConfig as SearchConfig
from alphallm.tasks import base


@chex.dataclass(frozen=True)
class Move:
  """The outcome of one search.

  Attributes:
    line: what to play.
    value: `[B]`, of the root, after the search.
    raw_value: `[B]`, the network's, before it.
    cost: what was spent.
    tree: the tree, its embeddings `expansion.Node`s.
  """

  line: types.Line
  value: chex.Array
  raw_value: chex.Array
  cost: types.Cost
  tree: mctx.Tree


def search(
  apply_fn: Callable[..., Any],
  task: base.Task,
  config: SearchConfig,
  params: Any,
  rng_keys: chex.PRNGKey,
  state: types.State,
  context: types.Context,
) -> Move:
  """Search one move for each of B problems.

  Args:
    apply_fn: the network, see `alphallm.models.network`.
    task: the environment.
    config: how to search.
    params: of the network.
    rng_keys: `[B]` keys (consumed).
    state: the states to move from, every field with a leading B.
    context: what the policy reads there.

  Raises:
    ValueError: if the task resets its context, but the search may not see the
      observations that the new context consists of.
  """
  expander = expansion.Expander(apply_fn, params, task, config)
  keys = expansion.Keys.of(rng_keys)
  root, shared, beside = expander.root(keys, state, context)
  tree = plant(config, keys, root)
  tree, beside = loop.search(
    keys.walks,
    tree,
    expand_fn=expander.leaf,
    root_action_selection_fn=config.policy.choose_at_root,
    interior_action_selection_fn=config.policy.choose_below,
    max_depth=config.depth,
    shared=shared,
    carry=beside,
    sizes=config.sizes(rng_keys.shape[0]),
    is_done=(lambda beside: beside.solved) if config.plays_solution else None,
  )
  return Move(
    line=decide(config, keys, tree),
    value=tree.node_values[:, tree.ROOT_INDEX],
    raw_value=root.value,
    cost=beside.cost,
    tree=tree,
  )


def plant(
  config: SearchConfig, keys: expansion.Keys, root: mctx.RootFnOutput
) -> mctx.Tree:
  """Return trees of their roots, with the policy's noise."""
  impossible = root.prior_logits <= IMPOSSIBLE / 2
  n = config.num_simulations
  root, extra_data = config.policy.prepare(
    keys.noise,
    root,
    impossible,
    jnp.full(root.value.shape, n),
    num_simulations=n,
  )
  return loop.plant(root, n, impossible, extra_data)


def decide(
  config: SearchConfig, keys: expansion.Keys, tree: mctx.Tree
) -> types.Line:
  """Return what to play after the simulations."""
  nodes = tree.embeddings
  impossible = tree.root_invalid_actions
  action, weights = config.policy.decide(keys.action, tree)
  if config.num_simulations == 0:
    weights = jax.nn.one_hot(action, weights.shape[-1])
  weights = jnp.where(jnp.all(impossible, -1, keepdims=True), 0.0, weights)
  batch = action.shape[0]
  line = types.Line(
    tokens=nodes.tokens[:, :1],
    lengths=nodes.lengths[:, :1],
    actions=action[:, None].astype(jnp.int32),
    weights=weights[:, None],
    length=jnp.ones((batch,), jnp.int32),
    solves=jnp.zeros((batch,), bool),
  )
  if config.plays_solution:
    line = solution.shortest(tree, line, config.line_length)
  return line
