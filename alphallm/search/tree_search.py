"""Tree search for one move: over candidate steps, with pages in the tree."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.models import network
from alphallm.search import (
  carry_over,
  expansion,
  loop,
  nodes,
  open_edges,
  replanting,
  solution,
  tree_cache,
)
from alphallm.search.candidates import IMPOSSIBLE
from alphallm.search.search_config import Dials as Dials
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
    tree: the tree, its embeddings `nodes.Node`s.
    cache: keys and values of the root's context and of the tree's nodes.
  """

  line: types.Line
  value: chex.Array
  raw_value: chex.Array
  cost: types.Cost
  tree: mctx.Tree
  cache: tree_cache.Cache


def search(
  apply_fn: network.Network,
  task: base.Task,
  config: SearchConfig,
  params: Any,
  rng_keys: chex.PRNGKey,
  state: types.State,
  context: types.Context,
  forest: carry_over.Forest | None = None,
  dials: Dials | None = None,
) -> Move:
  """Search one move for each of B problems.

  With `replant` a tree that holds no solution, and in which no edge is open any
  more, is grown anew from other candidates, as long as its budget lasts (each
  root counts as one simulation). So a budget is spent wholly or to a solution,
  however few the candidates.

  Args:
    apply_fn: the network.
    task: the environment.
    config: how to search.
    params: of the network.
    rng_keys: `[B]` keys (consumed).
    state: the states to move from, every field with a leading B.
    context: what the policy reads there.
    forest: trees to go on with, from `carry_over.follow`, whose roots are these
      states. A tree gets as many simulations as its nodes leave of the budget.
    dials: settings that may be traced; `None`: those of the config.

  Raises:
    ValueError: if the task resets its context, but the search may not see the
      observations that the new context consists of.
  """
  dials = dials or config.dials()
  if not isinstance(dials.max_depth, int):
    dials = dials.replace(max_depth=jnp.minimum(dials.max_depth, config.depth))

  def grow(rng_keys, dials):
    return _grow(
      apply_fn, task, config, params, rng_keys, state, context, forest, dials
    )

  if config.replant:
    most = jnp.minimum(dials.num_simulations, config.num_simulations)
    return replanting.search(
      grow, rng_keys, dials.replace(num_simulations=most)
    )
  return grow(rng_keys, dials)


def _grow(
  apply_fn, task, config, params, rng_keys, state, context, forest, dials
) -> Move:
  """Search with one tree for each problem; see `search`."""
  expander = expansion.Expander(apply_fn, params, task, config, dials)
  keys = nodes.Keys.of(rng_keys)
  plant = functools.partial(_plant, expander, keys, state, context)
  if forest is None:
    (forest, cost), held = plant(), None
  else:
    forest, cost = carry_over.complete(forest, plant)
    held = forest.size - 1
  tree = forest.tree
  budget = jnp.minimum(dials.num_simulations, config.num_simulations)
  budget = jnp.maximum(budget + 1 - forest.size, 0)
  raw_value = tree.raw_values[:, tree.ROOT_INDEX]
  tree, beside = loop.search(
    keys.walks,
    prepare(config, keys, tree, budget),
    expand_fn=expander.leaf,
    absorb_fn=expander.absorb,
    settle_fn=expander.settle,
    root_action_selection_fn=config.policy.choose_at_root,
    interior_action_selection_fn=config.policy.choose_below,
    max_depth=dials.max_depth,
    budget=budget,
    held=held,
    shared=nodes.Shared(keys=keys, prompt=forest.cache.prompt),
    carry=nodes.Beside(
      pages=forest.cache.pages,
      cost=cost,
      solved=jnp.any(
        tree.embeddings.wins & (tree.node_visits > 0)[..., None], (1, 2)
      ),
      num_open=open_edges.of_tree(tree, dials.max_depth),
    ),
    sizes=config.sizes(rng_keys.shape[0]),
    width=config.width,
    is_done=functools.partial(_is_done, config),
  )
  return Move(
    line=decide(config, keys, tree),
    value=tree.node_values[:, tree.ROOT_INDEX],
    raw_value=raw_value,
    cost=beside.cost,
    tree=tree,
    cache=tree_cache.Cache(prompt=forest.cache.prompt, pages=beside.pages),
  )


def no_forest(
  apply_fn: network.Network,
  task: base.Task,
  config: SearchConfig,
  params: Any,
  rng_keys: chex.PRNGKey,
  state: types.State,
  context: types.Context,
) -> carry_over.Forest | None:
  """Return what to begin with where `carry` follows each search.

  A forest without trees; `None` if the config carries none over. The arguments
  are those of `search`, and only their shapes count.
  """
  if not config.carry_over:
    return None
  expander = expansion.Expander(apply_fn, params, task, config, config.dials())
  keys = nodes.Keys.of(rng_keys)
  return carry_over.bare(lambda: _plant(expander, keys, state, context))


def carry(
  config: SearchConfig, move: Move, going_on: chex.Array
) -> carry_over.Forest | None:
  """Return the forest for the next search, after the move was played.

  Args:
    config: how to search.
    move: the search, of whose line no more than one step was played.
    going_on: `[B]` bool; of problems that are over nothing is carried.
  """
  if not config.carry_over:
    return None
  action = move.line.actions[:, 0]
  return carry_over.follow(move.tree, move.cache, action, going_on)


def _plant(expander, keys, state, context):
  """Return trees of nothing but their roots, and what these have cost."""
  root, cache, cost = expander.root(keys, state, context)
  forest = carry_over.Forest(
    tree=loop.plant(root, expander.config.num_simulations),
    cache=cache,
    size=jnp.ones(root.value.shape, jnp.int32),
  )
  return forest, cost


def _is_done(config, tree, beside, left):
  """Return which trees need no further simulation, `[B]`."""
  done = jnp.zeros(left.shape, bool)
  if config.plays_solution:
    done |= beside.solved | (beside.num_open == 0)
  if config.stop_decided:
    done |= config.policy.is_decided(tree, left)
  return done


def prepare(
  config: SearchConfig,
  keys: nodes.Keys,
  tree: mctx.Tree,
  budget: chex.Array,
) -> mctx.Tree:
  """Return the trees with the policy's noise and plan at their roots.

  Args:
    config: how to search.
    keys: of the move.
    tree: whose roots are to be searched.
    budget: `[B]` int32, simulations to come.
  """
  root = jax.tree.map(lambda x: x[:, tree.ROOT_INDEX], tree.embeddings)
  logits = tree.children_prior_logits[:, tree.ROOT_INDEX]
  impossible = logits <= IMPOSSIBLE / 2
  root, extra_data = config.policy.prepare(
    keys.noise,
    mctx.RootFnOutput(
      prior_logits=logits,
      value=tree.node_values[:, tree.ROOT_INDEX],
      embedding=root,
    ),
    impossible,
    budget,
    num_simulations=config.num_simulations,
    visits=tree.children_visits[:, tree.ROOT_INDEX],
  )
  return tree.replace(
    children_prior_logits=tree.children_prior_logits.at[:, tree.ROOT_INDEX].set(
      root.prior_logits
    ),
    root_invalid_actions=impossible,
    extra_data=extra_data,
  )


def decide(
  config: SearchConfig, keys: nodes.Keys, tree: mctx.Tree
) -> types.Line:
  """Return what to play after the simulations."""
  held = tree.embeddings
  impossible = tree.root_invalid_actions
  action, weights = config.policy.decide(keys.action, tree)
  if config.num_simulations == 0:
    weights = jax.nn.one_hot(action, weights.shape[-1])
  weights = jnp.where(jnp.all(impossible, -1, keepdims=True), 0.0, weights)
  batch = action.shape[0]
  line = types.Line(
    tokens=held.tokens[:, :1],
    lengths=held.lengths[:, :1],
    actions=action[:, None].astype(jnp.int32),
    weights=weights[:, None],
    length=jnp.ones((batch,), jnp.int32),
    solves=jnp.zeros((batch,), bool),
  )
  if config.plays_solution:
    line = solution.shortest(tree, line, config.line_length)
  return line
