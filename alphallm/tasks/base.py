"""What a task is: where problems come from and what answers a step."""

import abc
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm import types

Split = Literal["train", "test"]


class Task(abc.ABC):
  """A small environment over token steps.

  A state is rendered as text that ends in a newline; a step is text that ends
  in the delimiter, a newline. `init` and `step` are pure `jnp`, for one
  problem; the search runs them under `vmap` and `jit`. A task is a static
  value: it is closed over, never traced.

  Attributes:
    name: the name of the task, also of its dataset.
    tokenizer: text to ids and back.
    context: `"append"`: the policy reads the prompt, then every step and
      observation in turn; `"reset"`: it reads the last observation alone,
      which must then tell the whole state.
    max_prompt_tokens: length of the longest prompt.
    max_observation_tokens: O, length of the longest observation; that of an
      initial state is the prompt, unless `prompt` says otherwise.
    max_step_tokens: T, length of the longest step, its delimiter included.
    max_steps: D, after how many steps an episode ends unsolved.
  """

  name: str
  tokenizer: tokenizer_lib.Tokenizer
  context: Literal["append", "reset"]
  max_prompt_tokens: int
  max_observation_tokens: int
  max_step_tokens: int
  max_steps: int

  @property
  def vocab_size(self) -> int:
    return self.tokenizer.vocab_size

  @property
  def delimiter_id(self) -> int:
    """The token that ends a step (besides the end-of-sequence token)."""
    return self.tokenizer.id("\n")

  @property
  def end_ids(self) -> tuple[int, ...]:
    """The tokens that end a text; those of a tokenizer that has several."""
    return getattr(self.tokenizer, "end_ids", (self.tokenizer.eos_id,))

  @property
  def stop_ids(self) -> tuple[int, ...]:
    """The tokens that end a step."""
    return (self.delimiter_id, *self.end_ids)

  def ends(self, tokens: chex.Array, length: chex.Array) -> chex.Array:
    """Return whether a step says by itself that the text is over, `[]` bool.

    Args:
      tokens: `[T]` int32, the step.
      length: `[]` int32, its length.
    """
    last = tokens[jnp.maximum(length - 1, 0)]
    return jnp.isin(last, jnp.asarray(self.end_ids)) & (length > 0)

  @property
  def levels(self) -> range:
    """Sizes of problems, ascending; empty if the task has one size only.

    A task with levels takes `level=` in `sample_numpy`: no larger problems.
    """
    return range(0)

  def level_of(self, problems: Any) -> np.ndarray:
    """Return the level of each of `[num_problems, ...]`."""
    raise ValueError(f"{self.name} has no levels")

  @abc.abstractmethod
  def sample_numpy(
    self, rng: np.random.Generator, num_problems: int, split: Split
  ) -> Any:
    """Draw problems of a split: a pytree of arrays `[num_problems, ...]`.

    The splits are disjoint by a hash of the problem that ignores its
    symmetries.
    """

  def sample(
    self, rng_key: chex.PRNGKey, num_problems: int, split: Split = "train"
  ) -> Any:
    """As `sample_numpy`, from a JAX key (consumed)."""
    seed = np.asarray(jax.random.key_data(rng_key)).ravel()
    return self.sample_numpy(np.random.default_rng(seed), num_problems, split)

  def prompt(self, problem: Any) -> tuple[chex.Array, chex.Array]:
    """Return what the policy reads first, `(tokens [P], length [])`."""
    state = self.init(problem)
    return state.observation, state.observation_length

  @abc.abstractmethod
  def init(self, problem: Any) -> types.State:
    """Return the initial state of a problem; its observation is the prompt.

    A problem that needs no step is terminated, with the reward of a solution.
    """

  @abc.abstractmethod
  def step(
    self, state: types.State, tokens: chex.Array, length: chex.Array
  ) -> types.State:
    """Return the state after a step of one problem.

    Args:
      state: where the step is taken. Of a terminated state, the same state
        without reward is returned.
      tokens: `[T]` int32, the step, its delimiter included.
      length: `[]` int32, number of tokens of the step.
    """

  def answer(self, state: types.State) -> chex.Array:
    """Return what a state that is over answers, `[]` uint32.

    Equal for equal answers, which is what votes are counted by; 0 for none.
    """
    return state.fingerprint

  @abc.abstractmethod
  def random_step(
    self, rng_key: chex.PRNGKey, state: types.State
  ) -> tuple[chex.Array, chex.Array]:
    """Return a uniformly random legal step, `(tokens [T], length [])`.

    Where no step is legal, the length is 0.
    """

  def augment(
    self, rng_key: chex.PRNGKey, context: chex.Array, candidates: chex.Array
  ) -> tuple[chex.Array, chex.Array]:
    """Return the same example as a random symmetry of the task shows it.

    As AlphaGo Zero turned and mirrored its boards (Silver et al., 2017). Values
    and the places at which states end stay as they are.

    Args:
      rng_key: draws the symmetry (consumed).
      context: `[C]` int32, what the policy read.
      candidates: `[..., T]` int32, steps.

    Raises:
      NotImplementedError: if the task has none.
    """
    raise NotImplementedError(f"{self.name} has no symmetries")

  @abc.abstractmethod
  def read_problems(self, path) -> Any:
    """Read problems from a file or folder, as a pytree `[num_problems, ...]`.

    Raises:
      ValueError: one line that names what is wrong with which file.
    """

  @abc.abstractmethod
  def describe(self, problem: Any) -> str:
    """Return one problem in words, for a person."""

  @abc.abstractmethod
  def text_corpus(self) -> list[str]:
    """Return the lines on which the tokenizer is trained."""


def unless_over(state: types.State, after: types.State) -> types.State:
  """Return the state `after` a step, or `state` without reward if it is over.

  What `Task.step` asks of every task.
  """
  still = state.replace(reward=jnp.zeros_like(state.reward))
  return jax.tree.map(
    lambda old, new: jnp.where(state.terminated, old, new), still, after
  )
