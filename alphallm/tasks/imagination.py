"""A task in the imagination of a network: a world model in place of the rules.

A network that writes thoughts has learnt where steps lead, for it writes the
state behind each step, and what it is worth if it is an end. That is a model of
the world as MuZero has one (Schrittwieser et al., 2020), but its states are
written out, not embedded: a search in it asks nothing of the environment.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import chex
import jax.numpy as jnp

from alphallm import types
from alphallm.tasks import base, hashing, proposals, stand_in

_BEST = 9  # the digit of a solution; 0 is that of a dead end


@chex.dataclass(frozen=True)
class Foreseen:
  """What a network sees behind a step.

  Attributes:
    text: `[O]` int32, the next state with its newline; zeros behind it.
    length: `[]` int32, its tokens; 0 if no state was written.
    digit: `[]` int32, of its evaluation; -1 if none follows.
  """

  text: chex.Array
  length: chex.Array
  digit: chex.Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Imagination(stand_in.StandIn):
  """Proposals whose steps lead where a network writes that they do.

  A step is legal if it is whole and a state is written behind it. A state is an
  end where it is evaluated with 0, or with 9, which solves; or at the cap of
  steps. Of the environment nothing but the problem is read.

  Attributes:
    task: what is imagined.
    write: `(text, begin, count) -> [count]` int32, how the network goes on with
      the first `begin` tokens of a text; see `search.continuation`.
  """

  task: proposals.Proposals
  write: Callable[[chex.Array, chex.Array, int], chex.Array]

  name: ClassVar[str] = "imagination"

  @property
  def tokens_of_step(self) -> int:
    """Tokens that the network writes to see where one step leads."""
    return self.task.source.max_observation_tokens + 2

  def init(self, problem):
    state = self.task.init(problem)
    return state.replace(inner=jnp.zeros((), jnp.int32))  # steps taken

  def step(self, state, tokens, length):
    last = tokens[jnp.maximum(length - 1, 0)]
    is_whole = (length > 0) & (last == self.delimiter_id)
    seen = self.foresee(state, tokens, length)
    taken = state.inner + 1
    legal = is_whole & (seen.length > 0)
    solved = legal & (seen.digit == _BEST)
    ends = solved | (seen.digit == 0)
    truncated = legal & ~ends & (taken >= self.max_steps)
    mark = self.task.thoughts.mark_of["completion"]
    text = jnp.pad(seen.text, (0, 1)).at[seen.length].set(mark)
    places = jnp.arange(text.shape[0], dtype=jnp.uint32)
    hashed = hashing.mix(text.astype(jnp.uint32), places)
    after = types.State(
      legal=legal,
      observation=text,
      observation_length=seen.length + 1,
      terminated=~legal | ends | truncated,
      truncated=truncated,
      reward=solved.astype(jnp.float32),
      fingerprint=jnp.sum(
        jnp.where(places <= seen.length.astype(jnp.uint32), hashed, 0),
        dtype=jnp.uint32,
      ),
      held_out=jnp.zeros((), bool),
      inner=taken,
    )
    return base.unless_over(state, after)

  def foresee(
    self, state: types.State, tokens: chex.Array, length: chex.Array
  ) -> Foreseen:
    """Return what the network writes, token by token, behind a step."""
    most = self.tokens_of_step - 2
    begin = state.observation_length + length
    text = jnp.pad(state.observation, (0, tokens.shape[0]))
    offsets = jnp.arange(tokens.shape[0])
    at = jnp.where(offsets < length, state.observation_length + offsets, -1)
    text = text.at[at].set(tokens, mode="drop", wrap_negative_indices=False)
    # The state, the mark of an evaluation, and its digit.
    written = self.write(text, begin, most + 2)
    is_end = written == self.task.source.delimiter_id
    is_end &= jnp.arange(most + 2) < most
    length = jnp.where(jnp.any(is_end), jnp.argmax(is_end) + 1, 0)
    mark, digit = written[length], written[length + 1]
    digits = [self.tokenizer.id(str(i)) for i in range(_BEST + 1)]
    is_digit = digit == jnp.asarray(digits)
    told = mark == self.task.thoughts.mark_of["evaluation"]
    told &= jnp.any(is_digit) & (length > 0)
    kept = jnp.where(jnp.arange(most) < length, written[:most], 0)
    return Foreseen(
      text=kept.astype(jnp.int32),
      length=length.astype(jnp.int32),
      digit=jnp.where(told, jnp.argmax(is_digit), -1).astype(jnp.int32),
    )
