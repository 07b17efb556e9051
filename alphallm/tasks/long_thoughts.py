"""Long thoughts: text with wrong turns, and an answer that a task checks.

A thought is lines. Each begins with a mark, one token of the vocabulary, that
names the behaviour which the line is a span of (the six of arXiv:2412.14135,
section 3.3), and the text of the span follows to the end of the line:

  <analyse>    problem analysis: what is seen of the problem
  <decompose>  task decomposition: what is aimed at next
  <complete>   task completion: a step, `>`, and the state that it leads to
  <alternate>  alternative proposal: another step at a state, likewise
  <evaluate>   self-evaluation: what the state is worth, a digit 0 to 9
  <correct>    self-correction: the earlier state that is gone back to
  <answer>     begins the answer

Behind the first `<answer>` the steps of the solution stand, a line each, as the
source task writes them, and then the end of the sequence. The source's own
`step` plays them: nothing else that a thought says counts.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm import types
from alphallm.tasks import base, hashing, text

# Behaviour by behaviour, in the order in which they are reported.
MARKS = {
  "analysis": "<analyse>",
  "decomposition": "<decompose>",
  "completion": "<complete>",
  "alternative": "<alternate>",
  "evaluation": "<evaluate>",
  "correction": "<correct>",
}
ANSWER = "<answer>"
LEADS_TO = ">"  # between a step and its state


@chex.dataclass(frozen=True)
class Answer:
  """What the answer of a thought comes to.

  Attributes:
    solved: `[]` bool, whether its steps solve the problem.
    path: `[]` uint32, a hash of the states on the way, equal for equal
      solutions; 0 where nothing is solved.
    num_steps: `[]` int32, legal steps played.
  """

  solved: chex.Array
  path: chex.Array
  num_steps: chex.Array


@functools.lru_cache
def default_tokenizer(source: base.Task) -> tokenizer_lib.Tokenizer:
  """Return the vocabulary of a task's thoughts: characters, and the marks."""
  corpus = [*source.text_corpus(), f"0123456789{LEADS_TO}"]
  return tokenizer_lib.Tokenizer.train(
    corpus, symbols=[*MARKS.values(), ANSWER]
  )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Thoughts(text.Text):
  """The problems of another task, to be thought about at length.

  A step is a line, so that a search chooses among behaviours; see `whole`.

  Attributes:
    source: the task that draws, writes and checks. It is given the vocabulary.
    tokenizer: holds the marks, a token each; `None`: `default_tokenizer`.
    max_steps: lines of a thought, at most.
    max_step_tokens: of a line, at most.
    max_tokens: of a whole thought, at most.
  """

  source: base.Task
  tokenizer: Any = None
  max_prompt_tokens: int = 0  # the source's
  max_step_tokens: int = 32
  max_steps: int = 48
  max_tokens: int = 512

  name: ClassVar[str] = "thoughts"

  def __post_init__(self):
    given = {"tokenizer": self.tokenizer or default_tokenizer(self.source)}
    given["source"] = dataclasses.replace(self.source, **given)
    given["max_prompt_tokens"] = self.source.max_prompt_tokens
    given["reward"] = lambda problem, tokens, length: self.read_answer(
      problem.answer, tokens, length
    ).solved.astype(jnp.float32)
    if not self.delimiter_ids and self.max_steps > 1:
      given["delimiter_ids"] = (given["source"].delimiter_id,)
    for field, value in given.items():
      object.__setattr__(self, field, value)
    super().__post_init__()
    _ = self.mark_of, self.answer_id  # fail now if the vocabulary lacks one

  @functools.cached_property
  def mark_of(self) -> dict[str, int]:
    """The token of each behaviour."""
    return {name: self.tokenizer.id(mark) for name, mark in MARKS.items()}

  @functools.cached_property
  def answer_id(self) -> int:
    """The token before the answer."""
    return self.tokenizer.id(ANSWER)

  @functools.cached_property
  def _prompts(self):
    return jax.jit(jax.vmap(self.source.prompt))

  def whole(self) -> "Thoughts":
    """Return the task with a whole thought as its only step."""
    return dataclasses.replace(
      self,
      delimiter_ids=(),
      max_steps=1,
      max_step_tokens=self.max_tokens,
    )

  def has_room(self, response: Sequence[int]) -> bool:
    """Return whether a thought can be sampled whole, and line by line."""
    ends = np.flatnonzero(np.isin(response, self.stop_ids))
    lines = np.diff(ends, prepend=-1)
    return (
      len(response) <= self.max_tokens
      and len(lines) <= self.max_steps
      and lines.max(initial=0) <= self.max_step_tokens
    )

  def pose(self, problems: Any) -> text.Problem:
    """Return problems of the source as problems of this task."""
    with jax.transfer_guard_host_to_device("allow"):  # it is meant
      tokens, lengths = jax.device_get(self._prompts(problems))
    return text.Problem(
      tokens=np.asarray(tokens), length=np.asarray(lengths), answer=problems
    )

  def sample_numpy(self, rng, num_problems, split, **options) -> text.Problem:
    return self.pose(
      self.source.sample_numpy(rng, num_problems, split, **options)
    )

  @property
  def levels(self) -> range:
    return self.source.levels

  def level_of(self, problems: text.Problem) -> np.ndarray:
    return self.source.level_of(problems.answer)

  def read_problems(self, path) -> text.Problem:
    return self.pose(self.source.read_problems(path))

  def describe(self, problem: text.Problem) -> str:
    return self.source.describe(problem.answer)

  def text_corpus(self) -> list[str]:
    return self.source.text_corpus()

  def answer(self, state: types.State) -> chex.Array:
    """Return the path of the answer, `[]` uint32; 0 if it solves nothing."""
    inner = state.inner
    length = jnp.where(state.terminated, inner.length, 0)
    return self.read_answer(inner.problem.answer, inner.response, length).path

  def read_answer(
    self, problem: Any, tokens: chex.Array, length: chex.Array
  ) -> Answer:
    """Play the answer of one thought on its problem.

    Args:
      problem: of the source.
      tokens: `[A]` int32, the thought.
      length: `[]` int32, number of its tokens.
    """
    source, place = self.source, jnp.arange(tokens.shape[0])
    is_text = place < length
    is_mark = (tokens == self.answer_id) & is_text
    first = jnp.where(jnp.any(is_mark), jnp.argmax(is_mark) + 1, length)
    is_end = (tokens == source.delimiter_id) & is_text
    offsets = jnp.arange(source.max_step_tokens)

    def play(carry, _):
      state, begin, path, solved, count = carry
      ends = is_end & (place >= begin)
      after = jnp.where(jnp.any(ends), jnp.argmax(ends) + 1, begin)
      size = after - begin
      fits = (size > 0) & (size <= source.max_step_tokens)
      step = jnp.take(tokens, begin + offsets, mode="clip")
      step = jnp.where((offsets < size) & fits, step, source.tokenizer.pad_id)
      # A line that is too long is played as one without tokens: illegal.
      new = source.step(state, step, jnp.where(fits, size, 0))
      took = (size > 0) & ~state.terminated
      state = jax.tree.map(lambda a, b: jnp.where(took, b, a), state, new)
      legal = took & state.legal
      path = jnp.where(legal, hashing.mix(path, state.fingerprint), path)
      solved |= legal & (state.reward >= 1)
      return (state, after, path, solved, count + legal), None

    state = source.init(problem)
    carry = (
      state,
      first.astype(jnp.int32),
      jnp.zeros((), jnp.uint32),
      jnp.zeros((), bool),
      jnp.zeros((), jnp.int32),
    )
    (_, _, path, solved, count), _ = jax.lax.scan(
      play, carry, length=source.max_steps
    )
    # 0 means no answer: an honest path that hashes to it becomes 1.
    path = jnp.where(solved, jnp.maximum(path, 1), 0).astype(jnp.uint32)
    return Answer(solved=solved, path=path, num_steps=count)
