"""Blocks world: stack blocks until every demand of the goal holds.

A state is one line of three characters a block: its name, what it stands on,
and what it must stand on (`-` is the table, `?` is anything). A step is a block
and where to put it: `ab` puts a on b, `a-` puts a on the table.
"""

import collections
import dataclasses
import functools
from typing import ClassVar, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm import types
from alphallm.tasks import base, hashing, packing, pddl, stacks
from alphallm.tasks.stacks import ABSENT, ANY, TABLE

LETTERS = "abcdefghijklmno"
MAX_BLOCKS = len(LETTERS)
_DRAWS = 2048  # problems drawn at a time, of which a split's are kept


@chex.dataclass(frozen=True)
class Inner:
  """The `inner` of a state: a problem and `moves` `[]` int32 made so far."""

  problem: stacks.Problem
  moves: chex.Array


@dataclasses.dataclass(frozen=True)
class BlocksWorld(base.Task):
  """The blocks world as a task; see `base.Task` for what is not here.

  An episode of a problem with n blocks ends after 2n moves, which always
  suffice: every block to the table, then every block to its place.

  Attributes:
    min_blocks: number of blocks of the smallest problems drawn.
    max_blocks: n, number of rows of a problem, at most 15.
    max_steps: a lower cap than 2n moves; `None` for 2n.
    tokenizer: that of a checkpoint; `None` for the task's own, which is the
      same for all sizes.
  """

  name: ClassVar[str] = "blocks_world"
  max_step_tokens: ClassVar[int] = 3

  min_blocks: int = 3
  max_blocks: int = 5
  context: Literal["append", "reset"] = "reset"
  max_steps: int | None = None
  tokenizer: tokenizer_lib.Tokenizer | None = None

  def __post_init__(self):
    if not 2 <= self.min_blocks <= self.max_blocks <= MAX_BLOCKS:
      raise ValueError(
        f"blocks must be 2 to {MAX_BLOCKS}, not {self.min_blocks} to "
        f"{self.max_blocks}"
      )
    if self.context not in ("append", "reset"):
      raise ValueError(f"context must be append or reset, not {self.context}")
    if self.max_steps is None:
      object.__setattr__(self, "max_steps", 2 * self.max_blocks)
    if self.tokenizer is None:
      object.__setattr__(self, "tokenizer", default_tokenizer())
    _ = self._symbols  # Fail now if the vocabulary lacks a symbol.

  @property
  def max_prompt_tokens(self) -> int:
    return 3 * self.max_blocks + 1

  @property
  def max_observation_tokens(self) -> int:
    return self.max_prompt_tokens

  @functools.cached_property
  def _symbols(self) -> np.ndarray:
    """Token ids `[n + 2]`; index -1 is the table's, -2 that of ANY."""
    letters = LETTERS[: self.max_blocks]
    return np.array([self.tokenizer.id(c) for c in letters + "?-"], np.int32)

  @property
  def levels(self) -> range:
    """The numbers of blocks."""
    return range(self.min_blocks, self.max_blocks + 1)

  def level_of(self, problems: stacks.Problem) -> np.ndarray:
    return np.sum(np.asarray(problems.on) != ABSENT, axis=-1)

  def sample_numpy(
    self,
    rng: np.random.Generator,
    num_problems: int,
    split: base.Split,
    *,
    level: int | None = None,
  ) -> stacks.Problem:
    """Draw problems `[num_problems, n]`; see `base.Task`.

    Neither split holds a problem of PlanBench, nor one that is the same after
    renaming its blocks.

    Args:
      rng: draws them.
      num_problems: how many.
      split: of which split.
      level: the largest number of blocks; `max_blocks` if None.

    Raises:
      ValueError: if there is no such split, or (tiny sizes) no problem in it.
    """
    if split not in ("train", "test"):
      raise ValueError(f"no split is called {split}")
    kept, missing, draws = [], num_problems, 0
    while missing > 0:
      on, goal = stacks.random_problems(
        rng,
        _DRAWS,
        min_blocks=self.min_blocks,
        max_blocks=self.max_blocks,
        level=level,
      )
      hashed = stacks.class_hash(on, goal)
      in_test = hashing.in_test_split(hashed)
      wanted = (in_test == (split == "test")) & ~stacks.in_planbench(hashed)
      kept.append(np.stack([on, goal])[:, wanted][:, :missing])
      missing -= kept[-1].shape[1]
      draws += 1
      if draws == 50 and missing == num_problems:
        raise ValueError(
          f"no problem of {self.min_blocks} to {self.max_blocks} blocks is in "
          f"the {split} split"
        )
    on, goal = np.concatenate(kept or [np.zeros((2, 0, self.max_blocks))], 1)
    return stacks.Problem(on=on.astype(np.int32), goal=goal.astype(np.int32))

  def init(self, problem: stacks.Problem) -> types.State:
    chex.assert_shape((problem.on, problem.goal), (self.max_blocks,))
    inner = Inner(problem=problem, moves=jnp.int32(0))
    solved = _solved(problem)
    return self._state(
      inner,
      jnp.bool_(True),
      terminated=solved,
      truncated=jnp.bool_(False),
      reward=solved.astype(jnp.float32),
    )

  def step(
    self, state: types.State, tokens: chex.Array, length: chex.Array
  ) -> types.State:
    chex.assert_shape(tokens, (self.max_step_tokens,))
    problem, moves = state.inner.problem, state.inner.moves
    block = tokens[0] == self._symbols[: self.max_blocks]
    place = tokens[1] == np.delete(self._symbols, ANY)
    chosen = block[:, None] & place[None, :] & legal_moves(problem.on)
    legal = jnp.any(chosen) & (tokens[2] == self.delimiter_id) & (length == 3)
    support = jnp.where(place[-1], TABLE, jnp.argmax(place))
    problem = problem.replace(
      on=jnp.where(block & legal, support, problem.on).astype(jnp.int32)
    )
    moves = moves + legal
    solved = _solved(problem)
    num_blocks = jnp.sum(problem.on != ABSENT)
    cap = jnp.minimum(2 * num_blocks, self.max_steps)
    after = self._state(
      Inner(problem=problem, moves=moves),
      legal,
      terminated=~legal | solved | (moves >= cap),
      truncated=legal & ~solved & (moves >= cap),
      reward=solved.astype(jnp.float32),
    )
    return base.unless_over(state, after)

  def random_step(
    self, rng_key: chex.PRNGKey, state: types.State
  ) -> tuple[chex.Array, chex.Array]:
    legal = legal_moves(state.inner.problem.on) & ~state.terminated
    flat = jax.random.categorical(
      rng_key, jnp.where(legal.ravel(), 0.0, -jnp.inf)
    )
    block, place = jnp.divmod(flat, self.max_blocks + 1)
    place = jnp.where(place == self.max_blocks, TABLE, place)
    symbols = jnp.asarray(self._symbols)
    tokens = jnp.stack([symbols[block], symbols[place], self.delimiter_id])
    possible = jnp.any(legal)
    return (
      jnp.where(possible, tokens, self.tokenizer.pad_id).astype(jnp.int32),
      jnp.where(possible, 3, 0).astype(jnp.int32),
    )

  def augment(
    self, rng_key: chex.PRNGKey, context: chex.Array, candidates: chex.Array
  ) -> tuple[chex.Array, chex.Array]:
    """Rename the blocks; the rows of a state stay in the order of the names."""
    n, letters = self.max_blocks, jnp.asarray(self._symbols[: self.max_blocks])
    size = jnp.argmax(context == self.delimiter_id) // 3
    blocks = jnp.arange(n)
    drawn = jax.random.uniform(rng_key, (n,))
    old = jnp.argsort(jnp.where(blocks < size, drawn, 1.0 + blocks))
    renamed = letters[jnp.argsort(old)]
    # A context is a state, then steps (3 tokens) and states in turn.
    place = jnp.arange(context.shape[0])
    turn, offset = jnp.divmod(place, 3 * size + 4)
    row = jnp.minimum(offset // 3, n - 1)
    source = turn * (3 * size + 4) + 3 * old[row] + offset % 3
    context = context[jnp.where(offset < 3 * size, source, place)]

    def rename(tokens):
      old_letters, new_letters = (
        jnp.expand_dims(x, tuple(range(tokens.ndim)))
        for x in (letters, renamed)
      )
      is_block = tokens[..., None] == old_letters
      new = jnp.sum(jnp.where(is_block, new_letters, 0), axis=-1)
      return jnp.where(jnp.any(is_block, axis=-1), new, tokens)

    return rename(context), rename(candidates)

  def read_problems(self, path) -> stacks.Problem:
    """Read PDDL, a folder of it, or JSONL (`pddl.read`) as `[num, n]`."""
    rows = []
    for place, (names, on, goal) in pddl.read(path):
      if len(names) > self.max_blocks:
        raise ValueError(
          f"{place}: {len(names)} blocks are more than {self.max_blocks}"
        )
      index = {name: i for i, name in enumerate(names)} | {pddl.TABLE: TABLE}
      row = np.full((2, self.max_blocks), ABSENT, np.int32)
      for i, block in enumerate(names):
        row[:, i] = (
          index[on[block]],
          index[goal[block]] if block in goal else ANY,
        )
      rows.append(row)
    on, goal = np.stack(rows, axis=1)
    return stacks.Problem(on=on, goal=goal)

  def describe(self, problem: stacks.Problem) -> str:
    present = np.flatnonzero(np.asarray(problem.on) != ABSENT)
    on, goal = (
      ", ".join(
        f"{LETTERS[i]} on {LETTERS[to[i]] if to[i] >= 0 else 'the table'}"
        for i in present
        if to[i] != ANY
      )
      for to in (np.asarray(problem.on), np.asarray(problem.goal))
    )
    return f"{len(present)} blocks: {on}. Wanted: {goal or 'nothing'}."

  def text_corpus(self) -> list[str]:
    return [LETTERS + "?-"]

  def _state(self, inner, legal, **outcome) -> types.State:
    on, goal = inner.problem.on, inner.problem.goal
    symbols = jnp.asarray(self._symbols)
    # The symbols of absent blocks are arbitrary; they are not kept.
    tokens = jnp.stack(
      [symbols[: self.max_blocks], symbols[on], symbols[goal]], axis=1
    )
    end = jnp.full((1,), self.delimiter_id, jnp.int32)
    keep = jnp.append(jnp.repeat(on != ABSENT, 3), True)
    observation, length = packing.pack(
      jnp.concatenate([tokens.ravel(), end]), keep
    )
    hashed = stacks.class_hash(on, goal)
    places = jnp.arange(self.max_blocks, dtype=jnp.uint32)
    return types.State(
      legal=legal,
      observation=observation,
      observation_length=length.astype(jnp.int32),
      fingerprint=jnp.sum(
        hashing.mix(places, (on - ABSENT).astype(jnp.uint32)), dtype=jnp.uint32
      ),
      held_out=hashing.in_test_split(hashed) | stacks.in_planbench(hashed),
      inner=inner,
      **outcome,
    )


@functools.lru_cache
def default_tokenizer() -> tokenizer_lib.Tokenizer:
  """Return the tokenizer of letters a to o, `?`, `-` and the newline."""
  return tokenizer_lib.Tokenizer.train([LETTERS + "?-"])


def legal_moves(on: chex.Array) -> chex.Array:
  """Return `[n, n + 1]` bool, which block may go where (last: the table)."""
  blocks = jnp.arange(on.shape[0])
  clear = (on != ABSENT) & ~jnp.any(on[:, None] == blocks[None, :], axis=0)
  # A clear block is never what another one stands on: no need to ask.
  onto = clear[:, None] & clear[None, :] & (blocks[:, None] != blocks[None, :])
  return jnp.concatenate([onto, (clear & (on != TABLE))[:, None]], axis=1)


def _solved(problem: stacks.Problem) -> chex.Array:
  """Return `[]` bool; absent blocks are equal in both and never in the way."""
  return jnp.all((problem.goal == ANY) | (problem.on == problem.goal))


def to_moves(on, steps: list[str]) -> list[tuple[int, int, int]]:
  """Return legal steps from `on` as `(block, source, destination)` indices.

  What `pddl.write_plan` reads.
  """
  on, moves = np.array(on), []
  for block, place in (step.strip() for step in steps):
    i = LETTERS.index(block)
    destination = TABLE if place == "-" else LETTERS.index(place)
    moves.append((i, int(on[i]), destination))
    on[i] = destination
  return moves


def optimal_length(on, goal) -> int:
  """Return the least number of moves, by breadth-first search (n <= 6)."""
  start, goal = tuple(map(int, on)), tuple(map(int, goal))
  distance, queue = {start: 0}, collections.deque([start])
  while queue:
    state = queue.popleft()
    if all(to in (ANY, at) for at, to in zip(state, goal, strict=True)):
      return distance[state]
    clear = [i for i, at in enumerate(state) if at != ABSENT and i not in state]
    for i in clear:
      for place in (*clear, TABLE):
        if place in (i, state[i]):
          continue
        after = (*state[:i], place, *state[i + 1 :])
        if after not in distance:
          distance[after] = distance[state] + 1
          queue.append(after)
  raise ValueError("the goal cannot be reached")
