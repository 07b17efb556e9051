"""Making a node: pass over the tokens that it adds, sample and judge steps.

A node is a reasoning state and holds K candidate steps, sampled when the node
is made; an action of mctx is the index of a candidate.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.models import attention
from alphallm.search import candidates as candidates_lib
from alphallm.search import context as context_lib
from alphallm.search import (
  judge,
  nodes,
  open_edges,
  rollout,
  simulation,
  tree_cache,
)
from alphallm.search.search_config import Dials, SearchConfig
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class Expander:
  """Makes the nodes of B trees, which belong to one problem each.

  What a node is worth is said by the network or, where that has no trained
  value, by how likely the step was that led there: the geometric mean of the
  probabilities of its tokens, under the distribution that it was sampled from.
  A search by likelihood finds text that the network believes in further ahead
  than a token; whether it is right is not asked.

  Attributes:
    apply_fn: the network, see `alphallm.models.network`.
    params: of the network.
    task: the environment.
    config: how to search.
    dials: the settings of the config that may be traced.
  """

  apply_fn: Callable[..., Any]
  params: Any
  task: base.Task
  config: SearchConfig
  dials: Dials

  def __post_init__(self):
    if self._resets and not self._asks and self.config.num_simulations > 0:
      raise ValueError(
        "a task that resets its context at every observation needs a search "
        "with permission 'rules' or 'checker'"
      )
    answers = self.task.max_observation_tokens > 0
    if self.config.carry_over and answers and not self._asks:
      raise ValueError(
        "carry_over needs permission 'rules' or 'checker': what the environment"
        " answers to the step that is played is not in the tree"
      )

  @property
  def _resets(self) -> bool:
    return self.task.context == "reset"

  @property
  def _asks(self) -> bool:
    return self.config.permission != "nothing"

  @property
  def _pages(self) -> bool:
    return self.config.cache == "pages" and not self._resets

  @property
  def _recomputes(self) -> bool:
    return self.config.cache == "recompute" and not self._resets

  @property
  def _by_likelihood(self) -> bool:
    return self.config.leaf_value == "likelihood"

  def _likelihoods(self, steps: candidates_lib.Candidates) -> chex.Array:
    if not self._by_likelihood:
      return steps.log_probs[:, :0]
    return jnp.exp(steps.log_probs / jnp.maximum(steps.lengths, 1))

  @property
  def _num_ancestors(self) -> int:
    """A, pages that a node may read: one for each edge above its own."""
    if not self._pages:
      return 0
    # The pages of the deepest are read by none, unless they rise.
    most = self.config.depth - (not self.config.carry_over)
    if self._asks:  # An episode is over by then; what lies below has no value.
      most = min(most, self.task.max_steps - 1)
    return most

  def _held(self, tokens: chex.Array) -> chex.Array:
    """Return of the tokens of a context what a node holds."""
    if not self._recomputes:
      return tokens[:, :0]
    # The last step may end beyond all texts.
    return jnp.pad(tokens, ((0, 0), (0, self.task.max_step_tokens)))

  def root(
    self, keys: nodes.Keys, state: types.State, context: types.Context
  ) -> tuple[mctx.RootFnOutput, tree_cache.Cache, types.Cost]:
    """Make the roots.

    Args:
      keys: of the move.
      state: the states to move from, `[B, ...]`.
      context: what the policy reads there.

    Returns:
      The roots, the cache of their contexts, with empty pages for the nodes
      below them, and what they have cost.
    """
    batch = context.lengths.shape[0]
    zeros = jnp.zeros((batch,), jnp.int32)
    prompt, steps, logits, wins, value, cost = self._evaluate(
      keys, zeros, state, context, zeros, ()
    )
    node = nodes.Node(
      state=state,
      tokens=steps.tokens,
      lengths=steps.lengths,
      wins=wins,
      likelihoods=self._likelihoods(steps),
      depth=zeros,
      context_length=context.lengths,
      pages=jnp.full(
        (batch, self._num_ancestors), tree_cache.NO_PAGE, jnp.int32
      ),
      context=self._held(context.tokens),
    )
    pages = ()
    if self._pages:
      page_tokens = self.task.max_step_tokens
      if self._asks:
        page_tokens += self.task.max_observation_tokens
      pages = tree_cache.allocate(
        prompt.kv,
        self.config.num_simulations,
        page_tokens,
        self.config.page_dtype,
      )
    if self._by_likelihood:  # No step leads here: that of a step to come.
      value = jnp.sum(jax.nn.softmax(logits) * node.likelihoods, axis=-1)
    root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=node)
    return root, tree_cache.Cache(prompt=prompt, pages=pages), cost

  def leaf(
    self,
    shared: nodes.Shared,
    visit: simulation.Visit,
    node: nodes.Node,
    beside: nodes.Beside,
  ) -> tuple[mctx.RecurrentFnOutput, nodes.Node, nodes.Note]:
    """Make the children that simulations ask for; see `loop.Expand`."""
    config, task = self.config, self.task
    rows = jnp.arange(visit.node.shape[0])
    zeros = jnp.zeros_like(visit.node)
    tokens = node.tokens[rows, visit.action]
    lengths = node.lengths[rows, visit.action]
    if self._asks:
      child = jax.vmap(task.step)(node.state, tokens, lengths)
      done = child.terminated
    else:  # Of what a step does nothing is known but that a text is over.
      done = node.state.terminated | jax.vmap(task.ends)(tokens, lengths)
      if not self._resets:  # Or that it is longer than any text.
        done |= node.context_length + lengths > context_lib.size(task)
      child = node.state.replace(terminated=done)
    grow = functools.partial(
      context_lib.added, task, sees_observation=self._asks
    )
    added = jax.vmap(grow)(child, tokens, lengths)
    page_ids, whole = node.pages, node.context
    if self._resets:
      span, start, segments = added, zeros, ()
    elif self._pages:
      span, start = added, node.context_length
      cache = tree_cache.Cache(prompt=shared.prompt, pages=beside.pages)
      segments = (tree_cache.read(cache, page_ids, start),)
    else:
      whole = jax.vmap(context_lib.write)(whole, node.context_length, added)
      lengths = node.context_length + added.lengths
      span, start = types.Context(tokens=whole, lengths=lengths), zeros
      segments = ()
    page, steps, logits, wins, value, cost = self._evaluate(
      shared.keys, visit.node, child, span, start, segments
    )
    if self._by_likelihood:
      value = node.likelihoods[rows, visit.action]
    wins &= ~done[:, None]
    if self._pages:
      slot = jnp.arange(page_ids.shape[1])[None] == node.depth[:, None]
      page_ids = jnp.where(slot, visit.node[:, None] - 1, page_ids)
    depth = node.depth + 1
    opened = open_edges.of_node(logits, child, depth, self.dials.max_depth)
    closed = ~node.state.terminated & open_edges.is_legal(visit.prior_logits)
    note = nodes.Note(
      kv=page.kv if self._pages else (),
      length=span.lengths,
      cost=jax.tree.map(lambda x: jnp.where(done, 0, x), cost),
      solved=jnp.any(wins, axis=-1),
      num_open=opened - closed,
    )
    if config.permission == "checker":
      reward = child.reward
    else:  # What has just ended is judged by the network.
      ends = done & ~node.state.terminated & child.legal
      reward = jnp.where(ends, value, 0.0)
    going_on = (~done).astype(value.dtype)
    output = mctx.RecurrentFnOutput(
      reward=reward,
      discount=config.discount * going_on,
      prior_logits=logits,
      value=value * going_on,
    )
    made = nodes.Node(
      state=child,
      tokens=steps.tokens,
      lengths=steps.lengths,
      wins=wins,
      likelihoods=self._likelihoods(steps),
      depth=depth,
      context_length=start + span.lengths,
      pages=page_ids,
      context=whole,
    )
    return output, made, note

  def settle(self, beside: nodes.Beside) -> nodes.Beside:
    """Put the pages where they are read; see `loop.Settle`."""
    if not self._pages:
      return beside
    in_step = self.config.width == 1 and not self.config.carry_over
    pages = tree_cache.settle(beside.pages, in_step=in_step)
    return beside.replace(pages=pages)

  def absorb(
    self, beside: nodes.Beside, visit: simulation.Visit, note: nodes.Note
  ) -> nodes.Beside:
    """Keep what was noted when a node was made; see `loop.Absorb`."""
    pages = beside.pages
    if self._pages:
      # A node that is made again has the same page; what is written for it, or
      # for a tree that rests, belongs to no node.
      pages = tree_cache.write(pages, visit.new_node - 1, note.kv, note.length)
    spent = jax.tree.map(lambda x: jnp.where(visit.active, x, 0), note.cost)
    is_new = visit.active & (visit.node == visit.new_node)
    return nodes.Beside(
      pages=pages,
      cost=beside.cost + spent,
      solved=beside.solved | (visit.active & note.solved),
      num_open=beside.num_open + jnp.where(is_new, note.num_open, 0),
    )

  def _evaluate(
    self,
    keys: nodes.Keys,
    node: chex.Array,
    state: types.State,
    span: types.Context,
    start: chex.Array,
    segments: Sequence[attention.Segment],
  ):
    """Pass over the tokens that a node adds; sample and judge candidates.

    Args:
      keys: of the move.
      node: `[B]`, index of the node in its tree.
      state: of the node.
      span: the tokens that it adds.
      start: `[B]`, place of the first of them in its context.
      segments: what they attend to.

    Returns:
      The segment of the span, the candidates, their prior logits, which of them
      win, the value, and the cost.
    """
    config, task = self.config, self.task
    key_of_node = jax.vmap(jax.random.fold_in)
    places = jnp.arange(span.tokens.shape[1])[None]
    output = self.apply_fn(
      self.params,
      span.tokens[:, None],
      (start[:, None] + places)[:, None],
      segments=segments,
      read=jnp.maximum(span.lengths - 1, 0)[:, None, None],
    )
    own = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], output.kv),
      mask=(places < span.lengths[:, None])[:, None, None],
    )
    steps, decoded = candidates_lib.sample(
      self.apply_fn,
      self.params,
      key_of_node(keys.nodes, node),
      output.logits[:, 0, 0],
      start + span.lengths,
      [*segments, own],
      num_candidates=config.num_candidates,
      max_step_tokens=task.max_step_tokens,
      stop_ids=task.stop_ids,
      noise=config.noise,
      distinct=config.distinct,
      temperature=self.dials.temperature,
      truncation=config.truncation,
    )
    cost = types.Cost(
      decoded=decoded,
      prefilled=span.lengths,
      model_calls=1 + jnp.max(steps.lengths - 1, axis=-1),
      nodes=jnp.ones_like(span.lengths),
    )
    after = None
    if self._asks:
      steps, after = judge.ask(
        task,
        key_of_node(keys.rules, node),
        state,
        steps,
        rules_propose=config.rules_propose,
      )
    logits, wins = judge.judge(
      steps,
      after,
      prior_temperature=config.prior_temperature,
      sees_reward=config.permission == "checker",
    )
    value = jax.nn.sigmoid(output.value_logits[:, 0, 0])
    if config.process_reward is not None:
      scored = jax.vmap(config.process_reward)(state)
      value += config.process_weight * (scored - value)
    if config.rollout_steps:
      played, spent = rollout.value(
        self.apply_fn,
        self.params,
        task,
        config,
        key_of_node(keys.rollouts, node),
        state,
        output.logits[:, 0, 0],
        value,
        start + span.lengths,
        [*segments, own],
        temperature=self.dials.temperature,
      )
      value += config.rollout_weight * (played - value)
      cost = cost + spent
    return own, steps, logits, wins, value, cost
