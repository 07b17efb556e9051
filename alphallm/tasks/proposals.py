"""The steps of a task as its thoughts propose them."""

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from alphallm.tasks import base, long_thoughts


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Proposals(base.Task):
  """A task whose steps are written as thoughts write them.

  The policy reads a state and the mark `<complete>`, and a step is what follows
  it up to the `>`. So the network that writes thoughts proposes the steps of a
  tree search, too, and nothing else has to be learnt for it.

  Attributes:
    thoughts: whose source is the task; its context must be reset, for a state
      is all that is read.
  """

  thoughts: long_thoughts.Thoughts

  name: ClassVar[str] = "proposals"
  context: ClassVar[Literal["reset"]] = "reset"

  def __post_init__(self):
    if self.source.context != "reset":
      raise ValueError(
        f"{self.source.name} appends to its context: its states do not stand "
        "alone, and no thought can begin at them; reset it"
      )

  @property
  def source(self) -> base.Task:
    return self.thoughts.source

  @property
  def tokenizer(self) -> Any:
    return self.thoughts.tokenizer

  @property
  def max_prompt_tokens(self) -> int:
    return self.source.max_prompt_tokens + 1

  @property
  def max_observation_tokens(self) -> int:
    return self.source.max_observation_tokens + 1

  @property
  def max_step_tokens(self) -> int:
    return self.source.max_step_tokens

  @property
  def max_steps(self) -> int:
    return self.source.max_steps

  @functools.cached_property
  def delimiter_id(self) -> int:
    return self.tokenizer.id(long_thoughts.LEADS_TO)

  @property
  def levels(self) -> range:
    return self.source.levels

  def level_of(self, problems):
    return self.source.level_of(problems)

  def sample_numpy(self, rng, num_problems, split, **options):
    return self.source.sample_numpy(rng, num_problems, split, **options)

  def init(self, problem):
    return self._read(self.source.init(problem))

  def step(self, state, tokens, length):
    last = jnp.maximum(length - 1, 0)
    is_whole = (length > 0) & (tokens[last] == self.delimiter_id)
    # What is no whole step is played as one without tokens: illegal.
    tokens = tokens.at[last].set(self.source.delimiter_id)
    tokens = jnp.where(is_whole, tokens, self.tokenizer.pad_id)
    length = jnp.where(is_whole, length, 0)
    return self._read(self.source.step(state.inner, tokens, length))

  def answer(self, state):
    return self.source.answer(state.inner)

  def random_step(self, rng_key, state):
    tokens, length = self.source.random_step(rng_key, state.inner)
    is_end = tokens == self.source.delimiter_id
    return jnp.where(is_end, self.delimiter_id, tokens), length

  def read_problems(self, path):
    return self.source.read_problems(path)

  def describe(self, problem):
    return self.source.describe(problem)

  def text_corpus(self):
    return self.source.text_corpus()

  def _read(self, state):
    """Return a state of the source as the policy reads it here."""
    mark = self.thoughts.mark_of["completion"]
    text = jnp.pad(state.observation, (0, 1))
    return state.replace(
      observation=text.at[state.observation_length].set(mark),
      observation_length=state.observation_length + 1,
      inner=state,
    )
