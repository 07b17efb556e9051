"""Arithmetic written as text, read by a parser of its own, in exact fractions.

sum      = product {("+" | "-") product}
product  = factor {("*" | "/") factor}
factor   = whole number | "(" sum ")"
"""

import fractions
import re

_LONGEST, _DEEPEST, _MOST_DIGITS = 200, 20, 9
_TOKEN = re.compile(r"\s*(\d+|[-+*/()])")
_SIGNS = {
  **{"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"},
  **{r"\times": "*", r"\cdot": "*", r"\div": "/"},
  **{r"\left": "", r"\right": "", "$": "", r"\(": "", r"\)": ""},
}


def read(text: str) -> tuple[fractions.Fraction, list[int]]:
  """Return the value of an expression, and its numbers from left to right.

  Args:
    text: the expression; signs may be those of print or of LaTeX.

  Raises:
    ValueError: if it is no expression, is too long, or divides by zero.
  """
  if len(text) > _LONGEST:
    raise ValueError(f"an expression of more than {_LONGEST} characters")
  for sign, plain in _SIGNS.items():
    text = text.replace(sign, plain)
  tokens, place = [], 0
  text = text.strip()
  while place < len(text):
    match = _TOKEN.match(text, place)
    if match is None:
      raise ValueError(f"{text[place]!r} is not of an expression")
    tokens.append(match.group(1))
    place = match.end()
  reader = _Reader(tokens)
  value = reader.sum(0)
  if reader.next() is not None:
    raise ValueError(f"{reader.next()!r} stands where nothing may")
  return value, reader.numbers


class _Reader:
  """Recursive descent over the tokens of an expression."""

  def __init__(self, tokens: list[str]):
    self._tokens, self._place = tokens, 0
    self.numbers: list[int] = []

  def next(self) -> str | None:
    if self._place < len(self._tokens):
      return self._tokens[self._place]
    return None

  def _take(self) -> str | None:
    token = self.next()
    self._place += 1
    return token

  def sum(self, depth: int) -> fractions.Fraction:
    value = self._product(depth)
    while self.next() in ("+", "-"):
      sign = 1 if self._take() == "+" else -1
      value += sign * self._product(depth)
    return value

  def _product(self, depth: int) -> fractions.Fraction:
    value = self._factor(depth)
    while self.next() in ("*", "/"):
      if self._take() == "*":
        value *= self._factor(depth)
        continue
      divisor = self._factor(depth)
      if not divisor:
        raise ValueError("division by zero")
      value /= divisor
    return value

  def _factor(self, depth: int) -> fractions.Fraction:
    token = self._take()
    if token == "(" and depth < _DEEPEST:
      value = self.sum(depth + 1)
      if self._take() != ")":
        raise ValueError("a bracket is not closed")
      return value
    if token is None or not token.isdecimal() or len(token) > _MOST_DIGITS:
      raise ValueError(f"{token!r} stands where a number should")
    self.numbers.append(int(token))
    return fractions.Fraction(int(token))
