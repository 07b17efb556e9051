"""Playing a problem to its end: search a move, play its line, search again."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np

from alphallm import parts, types
from alphallm.search import carry_over, embedded, tree_search
from alphallm.search import context as context_lib
from alphallm.tasks import base


@chex.dataclass(frozen=True)
class Trace:
  """An episode under way (of one problem; batched by `vmap`).

  Attributes:
    state: where it stands.
    context: what the policy reads there.
    episode: what has been played so far.
  """

  state: types.State
  context: types.Context
  episode: types.Episode


@chex.dataclass(frozen=True)
class SearchResult:
  """The outcome of playing B problems to their end.

  Attributes:
    tokens: `[B, D * T]` int32, the solution, steps in a row, each padded.
    solved: `[B]` bool, whether the environment says that it is right, which is
      a reward of 1.
    reward: `[B]` float32, of the last step, 0 where the text goes on.
    value: `[B]` float32, of the first state, after its search.
    cost: what was spent on each problem.
    episode: every state, candidate and weight, `[B, ...]`.
    tree: of the first move, its embeddings `nodes.Node`s; None where it was
      not asked for.
    paths: all W paths that a strategy has kept, `strategies.paths.Path`s
      `[B, W, ...]`; None of a tree search.
  """

  tokens: chex.Array
  solved: chex.Array
  reward: chex.Array
  value: chex.Array
  cost: types.Cost
  episode: types.Episode
  tree: mctx.Tree | None = None
  paths: Any = None

  @property
  def candidates(self) -> chex.Array:
    """The candidate steps of the first state, `[B, K, T]`, heaviest first."""
    return self.episode.candidates[:, 0]

  @property
  def policy(self) -> chex.Array:
    """The improved policy over the candidates, `[B, K]`."""
    return self.episode.weights[:, 0]

  @property
  def step(self) -> chex.Array:
    """The first step played, `[B, T]`."""
    return self.episode.steps[:, 0]

  def solution(self, row: int) -> np.ndarray:
    """Return the tokens of one problem's solution without padding."""
    steps = np.asarray(self.episode.steps[row])
    lengths = np.asarray(self.episode.step_lengths[row])
    return steps[np.arange(steps.shape[1]) < lengths[:, None]]


def keys_of(rng_key: chex.PRNGKey, problems: Any) -> chex.PRNGKey:
  """Return a key for each problem, `[B]`.

  Args:
    rng_key: one for all, which is folded with each problem's place in the batch
      (consumed); or `[B]` of them already.
    problems: `[B, ...]`.
  """
  if rng_key.ndim:
    return rng_key
  batch = jax.tree.leaves(problems)[0].shape[0]
  return jax.vmap(jax.random.fold_in, (None, 0))(rng_key, jnp.arange(batch))


def start(task: base.Task, num_targets: int, problem: Any) -> Trace:
  """Return the trace of one problem before its first move.

  Args:
    task: the environment.
    num_targets: J, how many candidates of a state are recorded.
    problem: one problem of the task.
  """
  state = task.init(problem)
  context = context_lib.initial(task, problem)
  d, t = task.max_steps + 1, task.max_step_tokens
  r = 1 if task.context == "append" else d
  size = context.tokens.shape[0]
  episode = types.Episode(
    contexts=jnp.zeros((r, size), jnp.int32).at[0].set(context.tokens),
    ends=jnp.zeros((d,), jnp.int32).at[0].set(context.lengths),
    steps=jnp.zeros((d, t), jnp.int32),
    step_lengths=jnp.zeros((d,), jnp.int32),
    legal=jnp.zeros((d,), bool),
    # A problem that needs no step is paid at once.
    rewards=jnp.zeros((d,)).at[0].set(state.reward * state.terminated),
    candidates=jnp.zeros((d, num_targets, t), jnp.int32),
    candidate_lengths=jnp.zeros((d, num_targets), jnp.int32),
    weights=jnp.zeros((d, num_targets)),
    on_solution=jnp.zeros((d,), bool),
    root_values=jnp.zeros((d,)),
    mask=jnp.zeros((d,), bool).at[0].set(~state.held_out),
    num_steps=jnp.zeros((), jnp.int32),
    solved=state.terminated & (state.reward >= 1),
  )
  return Trace(state=state, context=context, episode=episode)


def play_line(
  task: base.Task, trace: Trace, line: types.Line, value: chex.Array
) -> Trace:
  """Play the steps of a line (of one problem) until they or the episode end.

  Args:
    task: the environment.
    trace: the episode so far.
    line: what to play, without the leading B.
    value: `[]`, the search's value of the state at which the line begins.
  """
  num_targets = trace.episode.weights.shape[-1]

  def is_playing(carry):
    index, trace = carry
    return (index < line.length) & ~trace.state.terminated

  def play_step(carry):
    index, trace = carry
    e, d = trace.episode, trace.episode.num_steps
    tokens, action = line.tokens[index], line.actions[index]
    step, length = tokens[action], line.lengths[index, action]
    state = task.step(trace.state, step, length)
    context = context_lib.extend(task, trace.context, state, step, length)
    heaviest, kept = jax.lax.top_k(line.weights[index], num_targets)
    total = jnp.maximum(jnp.sum(heaviest), 1e-9)
    r = d + 1 if task.context == "reset" else 0
    episode = types.Episode(
      contexts=e.contexts.at[r].set(context.tokens, mode="drop"),
      ends=e.ends.at[d + 1].set(context.lengths, mode="drop"),
      steps=e.steps.at[d].set(step),
      step_lengths=e.step_lengths.at[d].set(length),
      legal=e.legal.at[d].set(state.legal),
      rewards=e.rewards.at[d].set(state.reward),
      candidates=e.candidates.at[d].set(tokens[kept]),
      candidate_lengths=e.candidate_lengths.at[d].set(
        line.lengths[index, kept]
      ),
      weights=e.weights.at[d].set(heaviest / total),
      on_solution=e.on_solution.at[d].set(line.solves),
      root_values=e.root_values.at[d].set(jnp.where(index == 0, value, 0.0)),
      mask=e.mask.at[d + 1].set(
        jnp.where(
          state.terminated, state.legal & ~state.truncated, ~state.held_out
        )
      ),
      num_steps=d + 1,
      solved=state.terminated & (state.reward >= 1),
    )
    return index + 1, Trace(state=state, context=context, episode=episode)

  start = (jnp.zeros((), jnp.int32), trace)
  return jax.lax.while_loop(is_playing, play_step, start)[1]


def advance(
  apply_fn: Callable[..., Any],
  task: base.Task,
  config: tree_search.SearchConfig,
  params: Any,
  rng_keys: chex.PRNGKey,
  trace: Trace,
  forest: carry_over.Forest | None = None,
  dials: tree_search.Dials | None = None,
  world: embedded.Embedded | None = None,
) -> tuple[tree_search.Move, Trace, carry_over.Forest | None]:
  """Search one move of B episodes and play it.

  Args:
    apply_fn: the network, see `alphallm.models.network`.
    task: the environment.
    config: how to search.
    params: of the network.
    rng_keys: `[B]` keys (consumed).
    trace: the episodes; nothing is played in those that are over.
    forest: what was carried over to this move.
    dials: settings of the search that may be traced.
    world: in which to search, instead of the environment, which is then asked
      about the steps that are played alone; one a move, whatever was foreseen
      behind it.

  Returns:
    What was found, at no cost where the episode was over; the episodes after
    the move; what is carried over to the next one.
  """
  if config.searched_steps:
    dials = dials or config.dials()
    begins = trace.episode.num_steps < config.searched_steps
    dials = dials.replace(
      num_simulations=jnp.where(begins, dials.num_simulations, 0)
    )
  searched, state, context = task, trace.state, trace.context
  if world is not None:
    searched, state = world, jax.vmap(world.enter)(state)
    context = world.reads(state)
  found = tree_search.search(
    apply_fn, searched, config, params, rng_keys, state, context, forest, dials
  )
  if world is not None:
    found = found.replace(
      line=found.line.replace(
        length=jnp.ones_like(found.line.length),
        solves=jnp.zeros_like(found.line.solves),
      )
    )
  over = trace.state.terminated
  spent = jax.tree.map(lambda x: jnp.where(over, 0, x), found.cost)
  play = jax.vmap(lambda *args: play_line(task, *args))
  # Trees of episodes that are over go along: a missing one would make the next
  # search plant all of them.
  forest = tree_search.carry(config, found, jnp.ones_like(over))
  return (
    found.replace(cost=spent),
    play(trace, found.line, found.value),
    forest,
  )


def solve(
  apply_fn: Callable[..., Any],
  task: base.Task,
  config: tree_search.SearchConfig,
  params: Any,
  rng_keys: chex.PRNGKey,
  problems: Any,
  *,
  max_moves: chex.Numeric | None = None,
  dials: tree_search.Dials | None = None,
  keep_tree: bool = False,
  world: embedded.Embedded | None = None,
) -> SearchResult:
  """Play B problems to their end, in one jitted loop over moves.

  Args:
    apply_fn: the network, see `alphallm.models.network`.
    task: the environment.
    config: how each move is searched.
    params: of the network.
    rng_keys: `[B]` keys (consumed); a problem's result depends on its own key
      alone, however the problems are batched.
    problems: of the task, with a leading B.
    max_moves: searches at most; may be traced. `None`: until all have ended.
    dials: settings of the searches that may be traced.
    keep_tree: whether the result holds the tree of the first move.
    world: as of `advance`.

  Raises:
    ValueError: if rules are to propose steps in a world that has none, trees to
      be carried over from it, or its states to be scored.
  """
  if world is not None and (config.rules_propose or config.carry_over):
    raise ValueError(
      "a world model has no rules that propose steps, and its trees are not "
      "carried over: set rules_propose and carry_over to False"
    )
  if world is not None and config.process_reward is not None:
    raise ValueError(
      "process_reward scores states of text, and a world model embeds them"
    )
  batch = rng_keys.shape[0]
  max_moves = task.max_steps if max_moves is None else max_moves
  first = jax.vmap(lambda p: start(task, config.num_candidates, p))(problems)
  fold = jax.vmap(jax.random.fold_in, (0, None))

  def arguments(moves):
    return apply_fn, task, config, params, fold(rng_keys, moves)

  def is_running(carry):
    moves, trace, *_ = carry
    running = parts.anywhere(params, ~jnp.all(trace.state.terminated))
    return (moves < jnp.minimum(max_moves, task.max_steps)) & running

  def move(carry):
    moves, trace, cost, forest, tree = carry
    found, trace, forest = advance(
      *arguments(moves), trace, forest, dials, world
    )
    if keep_tree:
      keep = lambda new, old: jnp.where(moves == 0, new, old)
      tree = jax.tree.map(keep, found.tree, tree)
    return moves + 1, trace, cost + found.cost, forest, tree

  tree = None
  if keep_tree:
    shapes = jax.eval_shape(
      lambda: advance(*arguments(0), first, world=world)[0].tree
    )
    tree = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  cost = types.Cost.zeros(batch)
  forest = tree_search.no_forest(*arguments(0), first.state, first.context)
  _, trace, cost, _, tree = jax.lax.while_loop(
    is_running, move, (jnp.int32(0), first, cost, forest, tree)
  )
  episode = trace.episode
  return SearchResult(
    tokens=episode.steps[:, :-1].reshape(batch, -1),
    solved=episode.solved,
    reward=jnp.where(trace.state.terminated, trace.state.reward, 0.0),
    value=episode.root_values[:, 0],
    cost=cost,
    episode=episode,
    tree=tree,
  )
