"""Games of reaching a target by combining numbers two by two.

Text, of both games (countdown holds whole numbers only):

  a state  "25 3 7 8:24"  the numbers that remain, a colon, the target
  a step   "25*3=75"      takes two numbers and puts back their result

Each line ends in a newline. The result takes the place of the first operand
and the second is removed. No number is negative: where `a-b` would be, `b-a`
with the signs around it changed does the same.
"""

import dataclasses
import fractions
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm import types
from alphallm.tasks import base, hashing, packing, rational

_CORPUS = ("0123456789 +-*/ =|:",)


@chex.dataclass(frozen=True)
class Problem:
  """Numbers to combine, all of them, into the target.

  Attributes:
    numbers: `[N]` int32.
    target: `[]` int32.
  """

  numbers: chex.Array
  target: chex.Array


@chex.dataclass(frozen=True)
class Inner:
  """What is left of a problem.

  Attributes:
    numbers: `rational.Rational` of `[N]`; the places of used numbers are empty.
    target: `[]` int32.
  """

  numbers: rational.Rational
  target: chex.Array


@functools.lru_cache
def default_tokenizer() -> tokenizer_lib.Tokenizer:
  """Return the character tokenizer that both games share."""
  return tokenizer_lib.Tokenizer.train(_CORPUS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arithmetic(base.Task):
  """What countdown and the game of 24 have in common.

  An illegal step leaves the numbers as they are and ends the episode, as does
  a last number that is not the target.

  Attributes:
    context: as of `base.Task`; an observation tells the whole state.
    tokenizer: that of a checkpoint; `None` for the games' own.
    num_numbers: how many numbers a problem has; D is one less.
    max_number: the largest number of a problem (the smallest is 1).
    min_target: the smallest target.
    max_target: the largest target.
    max_value: the largest numerator or denominator of a result.
    fractional: whether results may be fractions.
  """

  context: Literal["append", "reset"] = "reset"
  tokenizer: tokenizer_lib.Tokenizer | None = None

  num_numbers = max_number = min_target = max_target = max_value = None
  fractional = False

  def __post_init__(self):
    if self.tokenizer is None:
      object.__setattr__(self, "tokenizer", default_tokenizer())
    _ = self._symbols  # fail now if the vocabulary lacks a character
    if self.context not in ("append", "reset"):
      raise ValueError(f"context {self.context!r} is not 'append' or 'reset'")
    if not 2 <= self.num_numbers <= 6:
      raise ValueError(f"num_numbers {self.num_numbers} is not 2 to 6")
    if not 1 <= self.min_target <= self.max_target:
      raise ValueError(
        f"targets {self.min_target} to {self.max_target} are not a range"
      )
    if not 1 <= self.max_number <= self.max_value <= rational.LARGEST_MAX_VALUE:
      raise ValueError(
        f"max_number {self.max_number} and max_value {self.max_value} must be "
        f"1 <= max_number <= max_value <= {rational.LARGEST_MAX_VALUE}"
      )
    if self.max_target > self.max_value:
      raise ValueError(
        f"max_target {self.max_target} is above max_value {self.max_value}"
      )

  @functools.cached_property
  def _symbols(self) -> rational.Symbols:
    return rational.symbols_of(self.tokenizer)

  @property
  def max_steps(self) -> int:
    return self.num_numbers - 1

  @property
  def max_prompt_tokens(self) -> int:
    numbers = self.num_numbers * (len(str(self.max_number)) + 1)
    return numbers + len(str(self.max_target)) + 1

  def init(self, problem: Problem) -> types.State:
    chex.assert_shape(problem.numbers, (self.num_numbers,))
    chex.assert_shape(problem.target, ())
    numbers = rational.Rational(problem.numbers, jnp.ones_like(problem.numbers))
    inner = Inner(numbers=numbers, target=problem.target)
    return self._state(inner, jnp.bool_(True))

  def step(
    self, state: types.State, tokens: chex.Array, length: chex.Array
  ) -> types.State:
    chex.assert_shape(tokens, (self.max_step_tokens,))
    numbers, target = state.inner.numbers, state.inner.target
    a, operator, b = rational.parse_step(self._symbols, tokens)
    # Where the operands stand: the first places that hold them.
    is_a, is_b = (
      (numbers.numerator == x.numerator)
      & (numbers.denominator == x.denominator)
      & (numbers.denominator > 0)
      for x in (a, b)
    )
    place = jnp.arange(self.num_numbers)
    at_a = is_a & (place == jnp.argmax(is_a))
    is_b &= ~at_a
    at_b = is_b & (place == jnp.argmax(is_b))
    results, legal = self._combine(a, b)
    result = jax.tree.map(lambda x: x[operator], results)
    text, text_length = self._render_step(a, operator, b, result)
    same = (tokens == text) | (jnp.arange(tokens.shape[0]) >= length)
    legal = legal[operator] & jnp.any(at_a) & jnp.any(at_b)
    legal &= jnp.all(same) & (length == text_length)

    at_a, at_b = at_a & legal, at_b & legal
    moved = rational.Rational(
      jnp.where(at_a, result.numerator, numbers.numerator),
      jnp.where(at_a, result.denominator, numbers.denominator),
    )
    moved = moved._replace(denominator=jnp.where(at_b, 0, moved.denominator))
    after = self._state(Inner(numbers=moved, target=target), legal)
    return base.unless_over(state, after)

  def random_step(
    self, rng_key: chex.PRNGKey, state: types.State
  ) -> tuple[chex.Array, chex.Array]:
    """Draw uniformly among the legal ordered pairs and their operators."""
    numbers, n = state.inner.numbers, self.num_numbers
    a = jax.tree.map(lambda x: jnp.tile(x[:, None], (1, n)), numbers)
    b = jax.tree.map(lambda x: jnp.tile(x[None, :], (n, 1)), numbers)
    results, legal = self._combine(a, b)  # [N, N, 4]
    pairs = (a.denominator > 0) & (b.denominator > 0) & ~jnp.eye(n, dtype=bool)
    legal &= pairs[..., None] & ~state.terminated
    move = jax.random.categorical(
      rng_key, jnp.where(legal, 0.0, -jnp.inf).ravel()
    )
    pair, operator = jnp.divmod(move, len(rational.OPERATORS))
    result = jax.tree.map(lambda x: x.ravel()[move], results)
    a, b = jax.tree.map(lambda x: x.ravel()[pair], (a, b))
    tokens, length = self._render_step(a, operator, b, result)
    possible = jnp.any(legal)
    tokens = jnp.where(possible, tokens, self.tokenizer.pad_id)
    return tokens, jnp.where(possible, length, 0)

  def augment(
    self, rng_key: chex.PRNGKey, context: chex.Array, candidates: chex.Array
  ) -> tuple[chex.Array, chex.Array]:
    """Shuffle the numbers of a state; steps name numbers, not places."""
    if self.context != "reset":
      raise NotImplementedError(
        f"{self.name} in an append context has no symmetries: observations "
        "keep the order of the numbers before"
      )
    space, colon = self._symbols.space, self._symbols.colon
    is_end = (context == space) | (context == colon)
    word = jnp.cumsum(is_end) - is_end  # of which number each token is
    drawn = jax.random.uniform(rng_key, context.shape)[word]
    after_colon = jnp.cumsum(context == colon) - (context == colon) > 0
    shuffled = context[jnp.argsort(jnp.where(after_colon, 2.0, drawn))]
    marks = jnp.where(shuffled == colon, space, shuffled)
    return jnp.where(context == colon, colon, marks), candidates

  def solve(self, numbers: Sequence[int], target: int) -> list[str] | None:
    """Return the steps of a solution, each with its newline, or None."""
    return rational.solve(
      numbers, target, max_value=self.max_value, fractional=self.fractional
    )

  def is_solvable(self, text: str) -> bool:
    """Return whether the state that a text ends in has a way to the target.

    Args:
      text: whose last line is a state, "3 1/2:24".
    """
    numbers, target = text.strip().split("\n")[-1].split(":")
    numbers = [fractions.Fraction(number) for number in numbers.split(" ")]
    return self.solve(numbers, int(target)) is not None

  def read_problems(self, path) -> Problem:
    """Read JSON lines, `{"numbers": [25, 3, 7, 8], "target": 24}` each.

    Where the task knows but one target it may be left out.
    """
    try:
      lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
      raise ValueError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
      raise ValueError(f"{path}: not a text file") from error
    numbers, targets = [], []
    for i, line in enumerate(lines, start=1):
      if line.strip():
        try:
          problem = self._read_problem(line)
        except ValueError as error:
          raise ValueError(f"{path}, line {i}: {error}") from error
        numbers.append(problem[0])
        targets.append(problem[1])
    if not numbers:
      raise ValueError(f"{path}: no problems in it")
    return Problem(
      numbers=np.array(numbers, np.int32), target=np.array(targets, np.int32)
    )

  def describe(self, problem: Problem) -> str:
    *numbers, last = (str(int(x)) for x in problem.numbers)
    return (
      f"Combine {', '.join(numbers)} and {last}, each once, by + - * and /, "
      f"to make {int(problem.target)}."
    )

  def text_corpus(self) -> list[str]:
    return list(_CORPUS)

  def _combine(self, a, b):
    return rational.combine(
      a, b, max_value=self.max_value, fractional=self.fractional
    )

  def _render_numbers(self, numbers):
    return rational.render_numbers(
      self._symbols,
      numbers,
      num_digits=len(str(self.max_value)),
      fractional=self.fractional,
    )

  def _render_step(self, a, operator, b, result):
    """Return the text of a step, `(tokens [T], length [])`."""
    mark = jnp.asarray(self._symbols.operators)[operator]
    marks = [mark, self._symbols.equals, self._symbols.newline]
    tokens, keep = [], []
    for number, mark in zip((a, b, result), marks, strict=True):
      digits, is_text = self._render_numbers(number)
      tokens += [digits, jnp.full(1, mark, jnp.int32)]
      keep += [is_text, jnp.ones(1, bool)]
    tokens, length = packing.pack(
      jnp.concatenate(tokens), jnp.concatenate(keep)
    )
    return tokens[: self.max_step_tokens], length

  def _state(self, inner, legal):
    """Return the state of an `Inner` to which a step led."""
    numbers, target = inner.numbers, inner.target
    present = numbers.denominator > 0
    count = jnp.sum(present)
    is_last = present & (jnp.cumsum(present) == count)
    mark = jnp.where(is_last, self._symbols.colon, self._symbols.space)
    digits, keep = self._render_numbers(numbers)
    aim, keep_aim = self._render_numbers(
      rational.Rational(target, jnp.ones_like(target))
    )
    tokens = jnp.concatenate([digits, mark[:, None]], axis=1).ravel()
    keep = jnp.concatenate([keep, present[:, None]], axis=1).ravel()
    newline = jnp.full(1, self._symbols.newline, jnp.int32)
    tokens, length = packing.pack(
      jnp.concatenate([tokens, aim, newline]),
      jnp.concatenate([keep, keep_aim, jnp.ones(1, bool)]),
    )
    is_target = (numbers.numerator == target) & (numbers.denominator == 1)
    fingerprint = rational.hash_numbers(numbers, target)
    return types.State(
      legal=legal,
      observation=tokens[: self.max_observation_tokens],
      observation_length=length,
      terminated=~legal | (count == 1),
      truncated=jnp.zeros((), bool),
      reward=((count == 1) & jnp.any(is_target)).astype(jnp.float32),
      fingerprint=fingerprint,
      held_out=hashing.in_test_split(fingerprint),
      inner=inner,
    )

  def _read_problem(self, line: str) -> tuple[list[int], int]:
    try:
      record = json.loads(line)
    except json.JSONDecodeError as error:
      raise ValueError(f"not JSON ({error.msg})") from error
    if not isinstance(record, dict) or "numbers" not in record:
      raise ValueError('not an object with "numbers" and "target"')
    numbers = record["numbers"]
    if not isinstance(numbers, list) or len(numbers) != self.num_numbers:
      raise ValueError(f'"numbers" is not a list of {self.num_numbers}')
    self._check("number", numbers, 1, self.max_number)
    only = self.min_target if self.min_target == self.max_target else None
    target = record.get("target", only)
    self._check("target", [target], self.min_target, self.max_target)
    return numbers, target

  @staticmethod
  def _check(what: str, values: list[Any], low: int, high: int):
    for value in values:
      if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} {value!r} is not an integer {low} to {high}")
