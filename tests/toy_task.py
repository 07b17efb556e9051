"""A random graph to walk on: a task whose problems are tables of numbers.

A state is text, `p` or `qq` (its letter, twice at odd places) and a newline; a
step is one or two of the letters a to d and a newline. The problem says where
each step leads, which are legal, and what lies at each place.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer, types
from alphallm.tasks import base

LETTERS, PLACES = "abcd", "pqrstuvw"
NUM_STEPS = len(LETTERS) * (1 + len(LETTERS))
OPEN, DEAD, GOAL = range(3)
TOKENIZER = tokenizer.Tokenizer.train([LETTERS + PLACES])
NEWLINE = TOKENIZER.id("\n")
LETTER_IDS = np.array([TOKENIZER.id(c) for c in LETTERS])
PLACE_IDS = np.array([TOKENIZER.id(c) for c in PLACES])
STOP_IDS = (NEWLINE, TOKENIZER.eos_id)


@chex.dataclass(frozen=True)
class Problem:
  """`to` and `legal` `[places, steps]`, `kind` and `held_out` `[places]`."""

  to: chex.Array
  legal: chex.Array
  kind: chex.Array
  held_out: chex.Array


@chex.dataclass(frozen=True)
class Inner:
  problem: Problem
  place: chex.Array
  moves: chex.Array


class Walk(base.Task):
  name = "walk"
  tokenizer = TOKENIZER
  max_prompt_tokens = max_observation_tokens = max_step_tokens = 3

  def __init__(self, context="append", max_steps=4):
    self.context = context
    self.max_steps = max_steps

  def sample_numpy(self, rng, num_problems, split="train"):
    shape = (num_problems, len(PLACES), NUM_STEPS)
    kind = np.full(shape[:2], OPEN)
    kind[:, -1], kind[:, -2] = GOAL, DEAD
    return Problem(
      to=rng.integers(0, len(PLACES), shape).astype(np.int32),
      legal=rng.random(shape) < 0.7,
      kind=kind.astype(np.int32),
      held_out=np.zeros(shape[:2], bool),
    )

  def _state(self, inner, legal):
    kind = inner.problem.kind[inner.place]
    truncated = legal & (kind == OPEN) & (inner.moves >= self.max_steps)
    letter = jnp.asarray(PLACE_IDS)[inner.place]
    is_odd = inner.place % 2 == 1
    return types.State(
      legal=legal,
      observation=jnp.stack(
        [
          letter,
          jnp.where(is_odd, letter, NEWLINE),
          jnp.where(is_odd, NEWLINE, tokenizer.PAD_ID),
        ]
      ).astype(jnp.int32),
      observation_length=2 + is_odd.astype(jnp.int32),
      terminated=~legal | (kind != OPEN) | truncated,
      truncated=truncated,
      reward=(legal & (kind == GOAL)).astype(jnp.float32),
      fingerprint=inner.place.astype(jnp.uint32),
      held_out=inner.problem.held_out[inner.place],
      inner=inner,
    )

  def init(self, problem):
    zero = jnp.zeros((), jnp.int32)
    inner = Inner(problem=problem, place=zero, moves=zero)
    state = self._state(inner, jnp.bool_(True))
    return state.replace(reward=jnp.zeros(()))

  def step(self, state, tokens, length):
    is_letter = tokens[:2, None] == LETTER_IDS[None]
    first, second = jnp.argmax(is_letter, axis=1)
    letters = jnp.any(is_letter, axis=1)
    two = length == 3
    index = jnp.where(two, 4 + 4 * first + second, first)
    whole = letters[0] & (tokens[jnp.maximum(length - 1, 0)] == NEWLINE)
    whole &= (length == 2) | (two & letters[1])
    inner = state.inner
    legal = whole & inner.problem.legal[inner.place, index]
    after = self._state(
      inner.replace(
        place=jnp.where(
          legal, inner.problem.to[inner.place, index], inner.place
        ),
        moves=inner.moves + legal,
      ),
      legal,
    )
    return base.unless_over(state, after)

  def random_step(self, rng_key, state):
    inner = state.inner
    legal = inner.problem.legal[inner.place] & ~state.terminated
    step = jax.random.categorical(rng_key, jnp.where(legal, 0.0, -jnp.inf))
    letters = jnp.asarray(LETTER_IDS)
    first, second = jnp.divmod(step - 4, 4)
    one = jnp.stack([letters[step % 4], jnp.int32(NEWLINE), jnp.int32(0)])
    two = jnp.stack([letters[first], letters[second], jnp.int32(NEWLINE)])
    possible = jnp.any(legal)
    tokens = jnp.where(step < 4, one, two) * possible
    return tokens.astype(jnp.int32), jnp.where(step < 4, 2, 3) * possible

  def read_problems(self, path):
    raise NotImplementedError

  def describe(self, problem):
    return "walk"

  def text_corpus(self):
    return [LETTERS + PLACES]


def bias():
  """Return what follows a token in text that looks like steps, `[V, V]`."""
  size = TOKENIZER.vocab_size
  table = np.full((size, size), -3.0)
  table[:, LETTER_IDS] = 0.0
  table[LETTER_IDS, NEWLINE] = 1.5
  return table


def problem_at(problems, row):
  """Return one problem of a batch."""
  return jax.tree.map(lambda x: np.asarray(x[row]), problems)


def start(problem):
  """Return the first state of a plain-Python walk."""
  return {"place": 0, "moves": 0, "legal": True, "over": False, "reward": 0.0}


def observe(walk):
  letter = int(PLACE_IDS[walk["place"]])
  return [letter] * (1 + walk["place"] % 2) + [NEWLINE]


def move(problem, walk, step, *, max_steps):
  """Take a step (a list of tokens) in plain Python."""
  if walk["over"]:
    return {**walk, "reward": 0.0}
  names = [[int(a)] for a in LETTER_IDS]
  names += [[int(a), int(b)] for a in LETTER_IDS for b in LETTER_IDS]
  step, place = list(map(int, step)), walk["place"]
  index = next((i for i, x in enumerate(names) if x + [NEWLINE] == step), None)
  if index is None or not problem.legal[place, index]:
    return {**walk, "legal": False, "over": True}
  place, moves = int(problem.to[place, index]), walk["moves"] + 1
  kind = problem.kind[place]
  return {
    "place": place,
    "moves": moves,
    "legal": True,
    "over": bool(kind != OPEN or moves >= max_steps),
    "reward": float(kind == GOAL),
  }
