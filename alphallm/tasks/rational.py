"""Numbers, whole or fractional, as arrays and as text in tokens.

A number is in lowest terms and never negative. Its text is "8", or "8|3" for a
fraction: the bar is not the division, "8/3=8|3".
"""

import fractions
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm.tasks import hashing

OPERATORS = "+-*/"
LARGEST_MAX_VALUE = 32_767  # a * b + c * d of such numbers is an int32


class Rational(NamedTuple):
  """Numbers, the denominator being 0 where there is none.

  Attributes:
    numerator: `[...]` int32, not negative.
    denominator: `[...]` int32, without a factor shared with the numerator.
  """

  numerator: chex.Array
  denominator: chex.Array


class Symbols(NamedTuple):
  """The token ids of the characters, `digits` `[10]` and `operators` `[4]`."""

  digits: np.ndarray
  operators: np.ndarray
  bar: int
  equals: int
  colon: int
  space: int
  newline: int


def symbols_of(tokenizer: tokenizer_lib.Tokenizer) -> Symbols:
  """Look up the ids, which need not be in any order."""

  def ids(characters):
    return np.array([tokenizer.id(c) for c in characters], np.int32)

  return Symbols(
    ids("0123456789"), ids(OPERATORS), *(tokenizer.id(c) for c in "|=: \n")
  )


def parse_step(
  symbols: Symbols, tokens: chex.Array
) -> tuple[Rational, chex.Array, Rational]:
  """Read the operands and the operator of a step: a guess, not a proof.

  Of text that is no step the reading means nothing. What proves it is that the
  step rendered from it is the same text.

  Args:
    symbols: the ids of the characters.
    tokens: `[T]` int32.

  Returns:
    The first operand, the operator's index `[]`, the second operand.
  """
  is_operator = tokens[:, None] == symbols.operators[None]
  is_digit = tokens[:, None] == symbols.digits[None]
  digit = jnp.argmax(is_digit, axis=1)
  part = jnp.cumsum(jnp.any(is_operator, axis=1) | (tokens == symbols.equals))
  in_part = part[None] == jnp.arange(2)[:, None]  # [2, T]
  bars = jnp.cumsum(in_part & (tokens == symbols.bar)[None], axis=1)
  # The digits of both numerators, then those of both denominators.
  field = jnp.concatenate([bars == 0, bars > 0]) & jnp.tile(in_part, (2, 1))
  field &= jnp.any(is_digit, axis=1)[None]
  values = jnp.zeros(4, jnp.int32)
  for t in range(tokens.shape[0]):  # may wrap around: no proof is needed
    values = jnp.where(field[:, t], 10 * values + digit[t], values)
  denominators = jnp.where(bars[:, -1] > 0, values[2:], 1)
  operands = [Rational(values[i], denominators[i]) for i in range(2)]
  return operands[0], jnp.argmax(jnp.any(is_operator, axis=0)), operands[1]


def render_numbers(
  symbols: Symbols, numbers: Rational, *, num_digits: int, fractional: bool
) -> tuple[chex.Array, chex.Array]:
  """Write numbers, leaving blanks for `packing.pack` to drop.

  Args:
    symbols: the ids of the characters.
    numbers: `Rational` of `[...]`.
    num_digits: digits of the largest numerator or denominator.
    fractional: whether to leave room for denominators.

  Returns:
    The tokens `[..., W]` and which of them are text `[..., W]`.
  """

  def digits(value):
    places = [10**i for i in reversed(range(num_digits))]
    tokens = jnp.asarray(symbols.digits)[
      jnp.stack([value // place % 10 for place in places], axis=-1)
    ]
    keep = [value >= (place if place > 1 else 0) for place in places]
    return tokens, jnp.stack(keep, axis=-1)

  tokens, keep = digits(numbers.numerator)
  if fractional:
    below, keep_below = digits(numbers.denominator)
    is_fraction = (numbers.denominator > 1)[..., None]
    bar = jnp.full_like(below[..., :1], symbols.bar)
    tokens = jnp.concatenate([tokens, bar, below], axis=-1)
    keep = jnp.concatenate([keep, is_fraction, keep_below & is_fraction], -1)
  return tokens, keep & (numbers.denominator > 0)[..., None]


def combine(
  a: Rational, b: Rational, *, max_value: int, fractional: bool
) -> tuple[Rational, chex.Array]:
  """Apply each operator to `a` and `b`, of equal shapes `[...]`.

  Args:
    a: the first operands.
    b: the second operands.
    max_value: no numerator or denominator may be larger.
    fractional: whether results may be fractions.

  Returns:
    The results, `Rational` of `[..., 4]`, and which of them are legal
    `[..., 4]`.
  """
  ad, bc = a.numerator * b.denominator, a.denominator * b.numerator
  below = a.denominator * b.denominator
  numerator = jnp.stack([ad + bc, ad - bc, a.numerator * b.numerator, ad], -1)
  denominator = jnp.stack([below, below, below, bc], axis=-1)
  legal = (numerator >= 0) & (denominator > 0)
  divisor = jnp.maximum(denominator, 1)
  if fractional:
    divisor = jnp.gcd(numerator, divisor)
  else:
    divisor = jnp.where(numerator % divisor == 0, divisor, 1)
  result = Rational(numerator // divisor, denominator // divisor)
  legal &= result.numerator <= max_value
  legal &= result.denominator <= (max_value if fractional else 1)
  return result, legal


def hash_numbers(numbers: Rational, target: chex.Array) -> chex.Array:
  """Hash numbers, their order and empty places aside, and the target.

  A sum of hashes knows no order, so nothing need be sorted. Takes NumPy's or
  JAX's integers.

  Args:
    numbers: `Rational` of `[..., N]`.
    target: `[...]`.

  Returns:
    `[...]` uint32.
  """
  numerator, denominator = (x.astype(np.uint32) for x in numbers)
  members = hashing.mix(numerator, denominator) * (denominator > 0)
  return hashing.mix(
    members.sum(axis=-1, dtype=np.uint32), target.astype(np.uint32)
  )


def reachable(
  numbers: np.ndarray, combine_values: Callable[..., list[np.ndarray]]
) -> np.ndarray:
  """Return every value into which all numbers of a row can be combined.

  By dynamic programming over the subsets of a row, all rows at once.

  Args:
    numbers: `[n, N]` floats.
    combine_values: maps two arrays that broadcast to the results of combining
      them, in a list; NaN stands for an illegal result, and what is combined
      with it is illegal too.

  Returns:
    `[n, M]`, where M depends on N alone.
  """
  num_rows, num_numbers = numbers.shape
  values = {1 << i: numbers[:, i : i + 1] for i in range(num_numbers)}
  for subset in range(1, 1 << num_numbers):
    if subset in values:
      continue
    results = []
    part = (subset - 1) & subset
    while part > subset ^ part:  # each split into two, once
      halves = values[part][:, :, None], values[subset ^ part][:, None, :]
      results += [x.reshape(num_rows, -1) for x in combine_values(*halves)]
      part = (part - 1) & subset
    values[subset] = np.concatenate(results, axis=1)
  return values[subset]


def solve(
  numbers: Sequence[int], target: int, *, max_value: int, fractional: bool
) -> list[str] | None:
  """Search for the steps of a solution, exhaustively, in plain Python.

  Args:
    numbers: the numbers to combine, all of them.
    target: what to combine them into.
    max_value: as of `combine`.
    fractional: as of `combine`.

  Returns:
    The steps, each with its newline, or None if there is no solution.
  """
  unsolvable = set()

  def search(numbers):
    if len(numbers) == 1:
      return [] if numbers[0] == target else None
    if numbers in unsolvable:
      return None
    for i, j in itertools.permutations(range(len(numbers)), 2):
      a, b = numbers[i], numbers[j]
      rest = [x for k, x in enumerate(numbers) if k not in (i, j)]
      for operator, result in results(a, b):
        steps = search(tuple(sorted([*rest, result])))
        if steps is not None:
          step = f"{_write(a)}{operator}{_write(b)}={_write(result)}\n"
          return [step, *steps]
    unsolvable.add(numbers)
    return None

  def results(a, b):
    found = [("+", a + b), ("*", a * b)]
    found += [("-", a - b)] if a >= b else []
    found += [("/", a / b)] if b else []
    highest = max_value if fractional else 1
    return [
      (operator, x)
      for operator, x in found
      if x.numerator <= max_value and x.denominator <= highest
    ]

  return search(tuple(sorted(map(fractions.Fraction, numbers))))


def _write(number: fractions.Fraction) -> str:
  return str(number).replace("/", "|")
