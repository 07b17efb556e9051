"""The nodes of a tree as something to learn from."""

import functools

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.search import context as context_lib
from alphallm.search import open_edges, solution
from alphallm.tasks import base


def nodes(
  task: base.Task,
  tree: mctx.Tree,
  context: types.Context,
  *,
  only_roots: bool = False,
) -> types.Visited:
  """Return the nodes of B trees, `[B, N + 1, ...]`, or their roots alone.

  The policy to learn at a node is softmax(logits + σ(completed Q)) (Danihelka
  et al., 2022, eq. 11), whichever way the tree was searched.

  Args:
    task: the environment.
    tree: searched with permission to see what follows a step; its embeddings
      are `nodes.Node`s.
    context: what the policy read at the roots.
    only_roots: `[B, 1, ...]`.
  """
  held = tree.embeddings
  texts = _contexts(task, tree, context)
  size = tree.node_visits.shape[1]
  legal = open_edges.is_legal(tree.children_prior_logits)
  improved = jax.vmap(jax.vmap(_improved, (None, 0)), (0, None))(
    tree, jnp.arange(size)
  )
  improved = jax.nn.softmax(jnp.where(legal, improved, -jnp.inf), where=legal)
  behind = after(task, tree)
  visits = tree.children_visits
  first, num_left = solution.below(tree)
  qvalues = tree.children_rewards + tree.children_discounts * (
    tree.children_values
  )
  found = types.Visited(
    context=texts.tokens,
    end=texts.lengths,
    candidates=held.tokens,
    lengths=held.lengths,
    weights=jnp.where(legal, improved, 0.0),
    qvalues=jnp.where(visits > 0, qvalues, 0.0),
    visits=visits,
    illegal=~behind.legal & (held.lengths > 0),
    solution=first,
    num_left=num_left,
    value=tree.node_values,
    share=tree.node_visits / jnp.maximum(tree.node_visits[:, :1], 1),
    mask=(tree.node_visits > 0)
    & ~held.state.terminated
    & ~held.state.held_out
    & jnp.any(legal, axis=-1),
  )
  if only_roots:
    found = jax.tree.map(lambda x: x[:, :1], found)
  return found


def after(task: base.Task, tree: mctx.Tree) -> types.State:
  """Return the states behind all candidates of B trees, `[B, N + 1, K, ...]`.

  Args:
    task: the environment, which is asked.
    tree: its embeddings are `nodes.Node`s.
  """
  held, step = tree.embeddings, task.step
  for axes in (None, 0, 0), (0, 0, 0), (0, 0, 0):  # candidates, nodes, trees
    step = jax.vmap(step, axes)
  return step(held.state, held.tokens, held.lengths)


def _improved(tree: mctx.Tree, node: chex.Array) -> chex.Array:
  """Return the logits of the improved policy at a node of one tree, `[K]`."""
  transformed = mctx.qtransform_completed_by_mix_value(tree, node)
  return tree.children_prior_logits[node] + transformed


def _contexts(
  task: base.Task, tree: mctx.Tree, context: types.Context
) -> types.Context:
  """Return what the policy read at each node, `[B, N + 1, ...]`."""
  held = tree.embeddings
  batch, size = tree.node_visits.shape
  rows = jnp.arange(batch)
  extend = jax.vmap(functools.partial(context_lib.extend, task))

  def write(node, texts):  # Parents are made before their children.
    parent = jnp.maximum(tree.parents[:, node], 0)
    action = jnp.maximum(tree.action_from_parent[:, node], 0)
    new = extend(
      jax.tree.map(lambda x: x[rows, parent], texts),
      jax.tree.map(lambda x: x[:, node], held.state),
      held.tokens[rows, parent, action],
      held.lengths[rows, parent, action],
    )
    return jax.tree.map(lambda x, y: x.at[:, node].set(y), texts, new)

  whole = lambda x: jnp.broadcast_to(x[:, None], (batch, size, *x.shape[1:]))
  return jax.lax.fori_loop(1, size, write, jax.tree.map(whole, context))
