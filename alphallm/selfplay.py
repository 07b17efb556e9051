"""Self-play: search over a stream of problems gives episodes to learn from."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.search import play, tree_search, visited
from alphallm.search.strategies import budgets
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
  """How much is played between two rounds of learning."""

  num_slots: int = 128  # B, problems under way at the same time
  num_moves: int = 8  # searches of every slot in a round
  num_targets: int = 4  # J, candidates of a state that are learned from
  player: str = "search"  # "policy": sampling, asks nothing; or a strategy
  budget: int = 0  # of the strategy, see `search.strategies.budgets`
  guidance: str = ""  # of the strategy, see `methods.guidance`; "": its own
  group_size: int = 0  # slots that attempt the same; 0: rounds go on
  greedy_first: bool = False  # the first slot of a group plays greedily
  ahead: int = 0  # rounds that are played before the one that is learned from
  push_every: int = 1  # iterations of learning after which its weights play

  def __post_init__(self):
    if self.player not in ("search", "policy", *budgets.STRATEGIES):
      raise ValueError(
        f"player={self.player!r} is neither search nor policy, nor one of "
        + ", ".join(budgets.STRATEGIES)
      )
    if self.is_strategy != (self.budget > 0):
      raise ValueError(
        f"budget={self.budget}: the players that need one are strategies, and "
        f"player={self.player!r}"
      )
    if self.guidance and not self.is_strategy:
      raise ValueError(
        f"guidance={self.guidance!r} guides strategies, and player="
        f"{self.player!r}"
      )
    if self.group_size and self.num_slots % self.group_size:
      raise ValueError(
        f"num_slots={self.num_slots} is no multiple of "
        f"group_size={self.group_size}"
      )
    if self.greedy_first and self.group_size < 2:
      raise ValueError("greedy_first needs group_size above 1")

  @property
  def is_stale(self) -> bool:
    """Whether what is learned from was played by earlier weights.

    They are earlier by `ahead + push_every - 1` iterations at most.
    """
    return self.ahead > 0 or self.push_every > 1

  @property
  def is_strategy(self) -> bool:
    """Whether a strategy plays, which solves a problem at a time."""
    return self.player not in ("search", "policy")


@chex.dataclass(frozen=True)
class Slots:
  """The problems under way, `[B, ...]`.

  Attributes:
    trace: the episode of each slot so far.
    rng_keys: `[B]`, one key per slot, folded with `num_moves` for each move.
    num_moves: `[B]` int32, moves that the slot has searched.
  """

  trace: play.Trace
  rng_keys: chex.PRNGKey
  num_moves: chex.Array


@chex.dataclass(frozen=True)
class Harvest:
  """What a round of self-play brings.

  Attributes:
    episodes: `[B, num_moves, ...]`, the episode of each slot after each move.
    done: `[B, num_moves]` bool, where that episode had just ended; the others
      are under way and are not to be used.
    cost: what each slot spent, `[B]`.
    nodes: `[B, num_moves, n, ...]`, nodes of the trees; None unless wanted.
  """

  episodes: types.Episode
  done: chex.Array
  cost: types.Cost
  nodes: types.Visited | None = None


def start(
  task: base.Task,
  config: SelfPlayConfig,
  rng_keys: chex.PRNGKey,
  problems: Any,
) -> Slots:
  """Put a first problem into every slot.

  Args:
    task: the environment.
    config: how much is played.
    rng_keys: `[B]`, a key for the life of each slot.
    problems: with a leading B.
  """
  trace = jax.vmap(lambda p: play.start(task, config.num_targets, p))(problems)
  return Slots(
    trace=trace,
    rng_keys=rng_keys,
    num_moves=jnp.zeros(rng_keys.shape, jnp.int32),
  )


def play_round(
  apply_fn: Callable[..., Any],
  task: base.Task,
  config: SelfPlayConfig,
  search_config: tree_search.SearchConfig,
  params: Any,
  slots: Slots,
  problems: Any,
  *,
  nodes: str = "",
) -> tuple[Slots, Harvest]:
  """Search and play `num_moves` moves in every slot.

  A slot whose episode ends takes its next problem at once. The function is
  plain: it runs under `jit`, `shard_map` or `pmap` over the leading B, and what
  happens in a slot depends on nothing but that slot.

  With groups a round begins anew in every slot, so that all is played by one
  policy, and a slot goes through its problems one by one, so that the j-th
  problem of the slots of a group is the same. What is under way at the end of
  the round is given up.

  Args:
    apply_fn: the network.
    task: the environment.
    config: how much is played.
    search_config: how a move is searched.
    params: of the network.
    slots: the problems under way.
    problems: `[B, num_moves, ...]`, the next problem of a slot that ends; with
      groups the problems of a slot in a row.
    nodes: which nodes of the trees are kept: none, the `"roots"` or `"all"`.

  Returns:
    The slots after the round, and what it brought.
  """
  begin = jax.vmap(lambda p: play.start(task, config.num_targets, p))
  play_line = jax.vmap(lambda *args: play.play_line(task, *args))
  at = lambda place: jax.tree.map(
    lambda x: jax.vmap(lambda row, i: row[i])(x, place), problems
  )
  dials = None
  if config.greedy_first:
    is_first = jnp.arange(slots.num_moves.shape[0]) % config.group_size == 0
    temperature = jnp.where(is_first, 1e-4, search_config.candidate_temperature)
    dials = search_config.dials(temperature=temperature)

  def arguments(slots: Slots):
    keys = jax.vmap(jax.random.fold_in)(slots.rng_keys, slots.num_moves)
    trace = slots.trace
    return (
      apply_fn,
      task,
      search_config,
      params,
      keys,
      trace.state,
      trace.context,
    )

  def move(carry, fresh_problems):
    slots, forest, begun = carry
    found = tree_search.search(*arguments(slots), forest, dials)
    kept = None
    if nodes:
      kept = visited.nodes(
        task, found.tree, slots.trace.context, only_roots=nodes == "roots"
      )
    trace = play_line(slots.trace, found.line, found.value)
    done = trace.state.terminated
    if config.group_size:
      fresh_problems = at(begun)
    fresh = begin(fresh_problems)
    take = lambda new, old: jnp.where(
      done.reshape(done.shape + (1,) * (old.ndim - 1)), new, old
    )
    next_slots = Slots(
      trace=jax.tree.map(take, fresh, trace),
      rng_keys=slots.rng_keys,
      num_moves=slots.num_moves + 1,
    )
    forest = tree_search.carry(search_config, found, ~done)
    carry = next_slots, forest, begun + done
    return carry, (trace.episode, done, found.cost, kept)

  swap = lambda tree: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)
  begun = jnp.zeros_like(slots.num_moves)
  if config.group_size:
    slots = slots.replace(trace=begin(at(begun)))
    begun += 1
  forest = tree_search.no_forest(*arguments(slots))
  (slots, *_), results = jax.lax.scan(
    move, (slots, forest, begun), swap(problems)
  )
  episodes, done, costs, kept = swap(results)
  cost = jax.tree.map(lambda x: jnp.sum(x, axis=1), costs)
  return slots, Harvest(episodes=episodes, done=done, cost=cost, nodes=kept)


def solve_round(
  solve: Callable[..., play.SearchResult],
  params: Any,
  slots: Slots,
  problems: Any,
) -> tuple[Slots, Harvest]:
  """Solve problems by a strategy, as many in every slot as it has moves.

  What it answers is the episode of a problem, and is whole at once; nothing is
  under way between two rounds. As plain as `play_round`.

  Args:
    solve: the strategy, `(params, rng_keys, problems) -> SearchResult`.
    params: of the network.
    slots: whose keys and numbers of moves count.
    problems: `[B, num_moves, ...]`, those of a slot in a row.
  """

  def move(slots, problems):
    keys = jax.vmap(jax.random.fold_in)(slots.rng_keys, slots.num_moves)
    found = solve(params, keys, problems)
    slots = slots.replace(num_moves=slots.num_moves + 1)
    return slots, (found.episode, found.cost)

  swap = lambda tree: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)
  slots, results = jax.lax.scan(move, slots, swap(problems))
  episodes, costs = swap(results)
  return slots, Harvest(
    episodes=episodes,
    done=jnp.ones(episodes.num_steps.shape, bool),
    cost=jax.tree.map(lambda x: jnp.sum(x, axis=1), costs),
  )
