"""Free text: a prompt, steps of text, and a reward when the text is over.

The size of a step, which is an action of the search, is the task's choice:

  token     `max_step_tokens=1`
  step      up to `max_step_tokens`, ended by one of `delimiter_ids`
  span      exactly `max_step_tokens`, for `delimiter_ids=()`
  solution  `delimiter_ids=()` and `max_steps=1`
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import types
from alphallm.tasks import base, hashing

# (problem, tokens [A], length []) -> [] float32 in [0, 1]; see `Text.reward`.
Reward = Callable[[Any, chex.Array, chex.Array], chex.Array]


@chex.dataclass(frozen=True)
class Problem:
  """A prompt, and what the reward needs to know.

  Attributes:
    tokens: `[P]` int32, the prompt, padded at its right end.
    length: `[]` int32, at least 1.
    answer: a pytree of arrays that only the reward reads.
  """

  tokens: chex.Array
  length: chex.Array
  answer: Any


@chex.dataclass(frozen=True)
class Inner:
  """The `inner` of a state.

  Attributes:
    problem: that is worked on.
    response: `[A]` int32, all tokens after the prompt, padded.
    length: `[]` int32, number of them.
    steps: `[]` int32, steps taken.
  """

  problem: Problem
  response: chex.Array
  length: chex.Array
  steps: chex.Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Text(base.Task):
  """Text without an environment; see `base.Task` for what is not here.

  Every step of at least one token is legal and nothing answers it. A text is
  over at the end-of-sequence token or after a step with one of `mark_ids`, or,
  truncated, after `max_steps` steps.

  Attributes:
    tokenizer: has `vocab_size` and `eos_id` (and `end_ids`, if there are
      several), and `encode` and `decode` where text is to go in and out.
    max_prompt_tokens: P.
    max_step_tokens: T.
    max_steps: D; A = D x T.
    delimiter_ids: the tokens that end a step, besides the end of the sequence.
    mark_ids: tokens that make their step the last one, such as that of "####".
    reward: what a text that is over is worth, for one problem: pure `jnp`, or
      a Python function made to be one by `on_host`. Its `length` is 0 for a
      text that goes on, of which nothing is asked. In [0, 1], and 1 solves the
      problem. `None`: 0 for all.
  """

  tokenizer: Any
  max_prompt_tokens: int
  max_step_tokens: int = 32
  max_steps: int = 16
  delimiter_ids: tuple[int, ...] = ()
  mark_ids: tuple[int, ...] = ()
  reward: Reward | None = None

  name: ClassVar[str] = "text"
  context: ClassVar[Literal["append"]] = "append"
  max_observation_tokens: ClassVar[int] = 0

  def __post_init__(self):
    for field in ("max_prompt_tokens", "max_step_tokens", "max_steps"):
      if getattr(self, field) < 1:
        raise ValueError(f"{field}={getattr(self, field)} must be at least 1")

  @property
  def stop_ids(self) -> tuple[int, ...]:
    return (*self.delimiter_ids, *self.end_ids)

  def ends(self, tokens: chex.Array, length: chex.Array) -> chex.Array:
    held = jnp.arange(tokens.shape[0]) < length
    marks = jnp.asarray(self.mark_ids, jnp.int32)
    return super().ends(tokens, length) | jnp.any(
      jnp.isin(tokens, marks) & held
    )

  @property
  def max_response_tokens(self) -> int:
    """A, the most tokens after a prompt."""
    return self.max_steps * self.max_step_tokens

  def problems(
    self, prompts: Sequence[str | Sequence[int]], answers: Any = ()
  ) -> Problem:
    """Return prompts as problems `[num_prompts, ...]`.

    Args:
      prompts: each a text, or its token ids.
      answers: a pytree of arrays `[num_prompts, ...]` for the reward.

    Raises:
      ValueError: if a prompt is empty or longer than P tokens.
    """
    tokens = np.zeros((len(prompts), self.max_prompt_tokens), np.int32)
    lengths = np.zeros(len(prompts), np.int32)
    for i, prompt in enumerate(prompts):
      ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
      if not 1 <= len(ids) <= self.max_prompt_tokens:
        raise ValueError(
          f"prompt {i} has {len(ids)} tokens; there must be 1 to "
          f"max_prompt_tokens={self.max_prompt_tokens}"
        )
      tokens[i, : len(ids)], lengths[i] = ids, len(ids)
    return Problem(tokens=tokens, length=lengths, answer=answers)

  def sample_numpy(self, rng, num_problems, split):
    raise ValueError(
      f"the task {self.name!r} draws no problems: make them by `problems`"
    )

  def prompt(self, problem: Problem) -> tuple[chex.Array, chex.Array]:
    return jnp.asarray(problem.tokens), jnp.asarray(problem.length)

  def init(self, problem: Problem) -> types.State:
    chex.assert_shape(problem.tokens, (self.max_prompt_tokens,))
    zero = jnp.zeros((), jnp.int32)
    inner = Inner(
      problem=jax.tree.map(jnp.asarray, problem),
      response=jnp.zeros((self.max_response_tokens,), jnp.int32),
      length=zero,
      steps=zero,
    )
    no = jnp.zeros((), bool)
    return types.State(
      legal=~no,
      observation=jnp.zeros((0,), jnp.int32),
      observation_length=zero,
      terminated=no,
      truncated=no,
      reward=jnp.zeros(()),
      fingerprint=jnp.zeros((), jnp.uint32),
      held_out=no,
      inner=inner,
    )

  def step(
    self, state: types.State, tokens: chex.Array, length: chex.Array
  ) -> types.State:
    chex.assert_shape(tokens, (self.max_step_tokens,))
    before, places = state.inner, jnp.arange(self.max_step_tokens)
    is_text = places < length
    inner = before.replace(
      response=before.response.at[
        jnp.where(is_text, before.length + places, self.max_response_tokens)
      ].set(tokens, mode="drop"),
      length=before.length + length,
      steps=before.steps + 1,
    )
    legal = length > 0
    ended = self.ends(tokens, length)
    truncated = legal & ~ended & (inner.steps >= self.max_steps)
    over = legal & (ended | truncated)
    letters = hashing.mix(tokens.astype(jnp.uint32), places.astype(jnp.uint32))
    hashed = jnp.sum(jnp.where(is_text, letters, 0), dtype=jnp.uint32)
    after = state.replace(
      legal=legal,
      terminated=over | ~legal,
      truncated=truncated,
      reward=self._reward(inner, over & ~state.terminated),
      fingerprint=hashing.mix(state.fingerprint, hashed),
      inner=inner,
    )
    return base.unless_over(state, after)

  def random_step(self, rng_key, state):
    raise NotImplementedError("no rule proposes steps of free text")

  def read_problems(self, path):
    raise ValueError(
      f"the task {self.name!r} reads no problems: use `problems`"
    )

  def describe(self, problem: Problem) -> str:
    return self.tokenizer.decode(problem.tokens[: int(problem.length)])

  def text_corpus(self) -> list[str]:
    raise ValueError("free text comes with its tokenizer")

  def _reward(self, inner: Inner, over: chex.Array) -> chex.Array:
    if self.reward is None:
      return jnp.zeros(())
    length = jnp.where(over, inner.length, 0)
    reward = self.reward(inner.problem, inner.response, length)
    return jnp.where(over, reward, 0.0).astype(jnp.float32)


def ids_with(tokenizer: Any, *parts: str) -> tuple[int, ...]:
  """Return the tokens whose text holds one of some parts of text.

  Of byte pairs many do: "\\n", "\\n\\n", ".\\n".

  Args:
    tokenizer: see `tokenizer.Vocabulary`.
    *parts: empty ones are held by none.

  Returns:
    Ids, ascending. Of a part that no token holds whole there are none.
  """
  wanted = [part.encode() for part in parts if part]
  return tuple(
    i
    for i in range(tokenizer.vocab_size)
    if any(part in tokenizer.token_bytes(i) for part in wanted)
  )


def on_host(score: Callable[[list[Any], list[np.ndarray]], Any]) -> Reward:
  """Return a reward from a Python function, called once per batch.

  Args:
    score: `(problems, responses) -> numbers in [0, 1]`, of the texts of a batch
      that are over: a list of problems (of NumPy arrays), a list of the token
      ids of their responses, and a number for each. It is not called where no
      text is over.
  """

  def batch(problem, tokens, length):
    length = np.asarray(length)
    rows = np.argwhere(length > 0)
    rewards = np.zeros(length.shape, np.float32)
    if len(rows):
      at = lambda row: jax.tree.map(
        lambda x: np.asarray(x)[tuple(row)], problem
      )
      tokens = np.asarray(tokens)
      numbers = score(
        [at(row) for row in rows],
        [tokens[tuple(row)][: length[tuple(row)]] for row in rows],
      )
      rewards[tuple(rows.T)] = np.asarray(numbers, np.float32)
    return rewards

  def reward(problem, tokens, length):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(
      batch, shape, problem, tokens, length, vmap_method="broadcast_all"
    )

  return reward
