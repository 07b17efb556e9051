"""Tree search for one move: mctx over candidate steps, with pages in the tree.

A node is a reasoning state and holds K candidate steps, sampled when the node
is made; an action of mctx is the index of a candidate. What the search may ask
of the environment is its `permission`:

  nothing  a step is only text: neither its legality nor its outcome is known
  rules    legality, observations and termination
  checker  also whether a state solves the problem
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import mctx

from alphallm import types
from alphallm.models import attention
from alphallm.search import candidates as candidates_lib
from alphallm.search import context as context_lib
from alphallm.search import judge, loop, policies, solution, tree_cache
from alphallm.search.candidates import IMPOSSIBLE
from alphallm.tasks import base

Permission = Literal["nothing", "rules", "checker"]


@dataclasses.dataclass(frozen=True)
class SearchConfig:
  """How one move is searched."""

  num_simulations: int = 16
  num_candidates: int = 8  # K
  max_depth: int = 16  # most steps from the root to a leaf
  permission: Permission = "checker"
  policy: policies.Policy = policies.gumbel
  discount: float = 0.97  # per step
  noise: bool = True  # candidates are sampled; else the K most probable
  candidate_temperature: float = 1.0  # of the tokens sampled
  prior_temperature: float = 1.0  # divides the steps' log-probabilities
  play_solution: bool = True  # a solution found in the tree is played
  rules_propose: bool = False  # random legal steps where no candidate is legal
  cache: Literal["pages", "recompute"] = "pages"

  def __post_init__(self):
    if self.permission not in ("nothing", "rules", "checker"):
      raise ValueError(
        f"permission={self.permission!r} is none of nothing, rules, checker"
      )
    if self.cache not in ("pages", "recompute"):
      raise ValueError(f"cache={self.cache!r} is neither pages nor recompute")
    if self.rules_propose and self.permission == "nothing":
      raise ValueError("rules_propose needs permission 'rules' or 'checker'")
    if self.num_simulations < 0 or self.num_candidates < 1:
      raise ValueError("num_simulations or num_candidates is too small")

  @property
  def plays_solution(self) -> bool:
    return self.play_solution and self.permission == "checker"

  @property
  def depth(self) -> int:
    return max(1, min(self.max_depth, self.num_simulations))

  @property
  def line_length(self) -> int:
    """M, the most steps that a move plays."""
    return 1 + self.depth if self.plays_solution else 1


@chex.dataclass(frozen=True)
class Node:
  """The embedding of a node, as mctx holds it, `[B, N + 1, ...]`.

  Attributes:
    state: the task's state.
    tokens: `[K, T]`, the candidates.
    lengths: `[K]`.
    wins: `[K]` bool, candidates that solve the problem at once.
    depth: `[]`, edges from the root.
    context_length: `[]`, tokens that lead here.
    pages: `[D]`, ids of the pages that hold the tokens after the root.
    context: `[C]`, those tokens, if they are recomputed.
  """

  state: types.State
  tokens: chex.Array
  lengths: chex.Array
  wins: chex.Array
  depth: chex.Array
  context_length: chex.Array
  pages: chex.Array
  context: chex.Array


@chex.dataclass(frozen=True)
class Move:
  """The outcome of one search.

  Attributes:
    line: what to play.
    value: `[B]`, of the root, after the search.
    raw_value: `[B]`, the network's, before it.
    cost: what was spent.
    tree: the tree, its embeddings `Node`s.
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
    apply_fn: the network, see `alphallm.models.transformer`.
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
  resets = task.context == "reset"
  asks = config.permission != "nothing"
  if resets and not asks and config.num_simulations > 0:
    raise ValueError(
      "a task that resets its context at every observation needs a search "
      "with permission 'rules' or 'checker'"
    )
  batch = context.lengths.shape[0]
  k = config.num_candidates
  paged = config.cache == "pages" and not resets
  recomputes = config.cache == "recompute" and not resets
  page_tokens = task.max_step_tokens
  page_tokens += task.max_observation_tokens if asks else 0
  fold = jax.vmap(jax.random.fold_in, (0, None))
  policy_keys, node_keys = fold(rng_keys, 0), fold(rng_keys, 1)
  rule_keys = fold(rng_keys, 2)

  def evaluate(sim, state, tokens, lengths, positions, segments):
    """Pass over the tokens that a node adds; sample and judge candidates."""
    output = apply_fn(
      params,
      tokens[:, None],
      positions[:, None, None] + jnp.arange(tokens.shape[1])[None, None],
      segments=segments,
      read=jnp.maximum(lengths - 1, 0)[:, None, None],
    )
    held = jnp.arange(tokens.shape[1])[None] < lengths[:, None]
    span = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], output.kv), mask=held[:, None, None]
    )
    steps, decoded = candidates_lib.sample(
      apply_fn,
      params,
      fold(node_keys, sim),
      output.logits[:, 0, 0],
      positions + lengths,
      [*segments, span],
      num_candidates=k,
      max_step_tokens=task.max_step_tokens,
      stop_ids=(task.delimiter_id, task.tokenizer.eos_id),
      noise=config.noise,
      temperature=config.candidate_temperature,
    )
    cost = types.Cost(
      decoded=decoded,
      prefilled=lengths,
      model_calls=1 + jnp.max(steps.lengths - 1, axis=-1),
      nodes=jnp.ones((batch,), jnp.int32),
    )
    after = None
    if asks:
      steps, after = judge.ask(
        task,
        fold(rule_keys, sim),
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
    return span, steps, logits, wins, value, cost

  # The root.
  prompt, steps, logits, wins, value, cost = evaluate(
    0,
    state,
    context.tokens,
    context.lengths,
    jnp.zeros_like(context.lengths),
    (),
  )
  zeros = jnp.zeros((batch,), jnp.int32)
  node = Node(
    state=state,
    tokens=steps.tokens,
    lengths=steps.lengths,
    wins=wins,
    depth=zeros,
    context_length=context.lengths,
    pages=jnp.full(
      (batch, config.depth if paged else 0), tree_cache.NO_PAGE, jnp.int32
    ),
    context=context.tokens if recomputes else jnp.zeros((batch, 0), jnp.int32),
  )
  root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=node)
  beside = loop.Beside(pages=(), cost=cost)
  if paged:
    beside.pages = tree_cache.allocate(
      prompt.kv, config.num_simulations, page_tokens
    )

  def recurrent_fn(params, rng_key, action, node: Node):
    del params, rng_key
    rows = jnp.arange(batch)
    tokens, lengths = node.tokens[rows, action], node.lengths[rows, action]
    if asks:
      child = jax.vmap(task.step)(node.state, tokens, lengths)
    else:
      child = node.state
    grow = functools.partial(context_lib.added, task, sees_observation=asks)
    added = jax.vmap(grow)(child, tokens, lengths)
    done = child.terminated if asks else jnp.zeros((batch,), bool)
    page_ids, whole = node.pages, node.context
    if resets:
      span, start, segments = added, zeros, ()
    elif paged:
      span, start = added, node.context_length
      segments = (prompt, tree_cache.gather(beside.pages, page_ids))
    else:
      whole = jax.vmap(context_lib.write)(whole, node.context_length, added)
      span = types.Context(
        tokens=whole, lengths=node.context_length + added.lengths
      )
      start, segments = zeros, ()
    page, steps, logits, wins, value, cost = evaluate(
      beside.sim + 1, child, span.tokens, span.lengths, start, segments
    )
    if paged:
      beside.pages = tree_cache.write(
        beside.pages, beside.sim, page.kv, span.lengths
      )
      slot = jnp.arange(config.depth)[None] == node.depth[:, None]
      page_ids = jnp.where(slot, beside.sim, page_ids)
    beside.cost = beside.cost + jax.tree.map(
      lambda x: jnp.where(done, 0, x), cost
    )
    reward = jnp.zeros_like(value)
    if config.permission == "checker":
      reward = child.reward
    elif config.permission == "rules":
      reward = jnp.where(done & child.legal, value, 0.0)
    going_on = (~done).astype(value.dtype)
    output = mctx.RecurrentFnOutput(
      reward=reward,
      discount=config.discount * going_on,
      prior_logits=logits,
      value=value * going_on,
    )
    child_node = Node(
      state=child,
      tokens=steps.tokens,
      lengths=steps.lengths,
      wins=wins & ~done[:, None],
      depth=node.depth + 1,
      context_length=start + span.lengths,
      pages=page_ids,
      context=whole,
    )
    return output, child_node

  impossible = logits <= IMPOSSIBLE / 2
  output = config.policy(
    functools.partial(
      mctx.search,
      params,
      policy_keys[0],  # breaks ties
      recurrent_fn=recurrent_fn,
      max_depth=config.depth,
      loop_fn=functools.partial(
        loop.run, beside, stop_when_solved=config.plays_solution
      ),
    ),
    policy_keys,
    root,
    num_simulations=config.num_simulations,
    invalid_actions=impossible,
  )
  tree = output.search_tree
  weights = output.action_weights
  if config.num_simulations == 0:
    weights = jax.nn.one_hot(output.action, k)
  weights = jnp.where(jnp.all(impossible, -1, keepdims=True), 0.0, weights)
  line = types.Line(
    tokens=steps.tokens[:, None],
    lengths=steps.lengths[:, None],
    actions=output.action[:, None].astype(jnp.int32),
    weights=weights[:, None],
    length=jnp.ones((batch,), jnp.int32),
    solves=jnp.zeros((batch,), bool),
  )
  if config.plays_solution:
    line = solution.shortest(tree, line, config.line_length)
  return Move(
    line=line,
    value=tree.node_values[:, tree.ROOT_INDEX],
    raw_value=value,
    cost=beside.cost,
    tree=tree,
  )
