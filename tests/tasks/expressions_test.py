import fractions
import time

import numpy as np
import pytest

from alphallm.tasks import expressions


@pytest.mark.parametrize(
  ("text", "value", "numbers"),
  [
    ("7", 7, [7]),
    ("1 + 2*3", 7, [1, 2, 3]),
    ("(1+2) * 3 - 4 / 8", fractions.Fraction(17, 2), [1, 2, 3, 4, 8]),
    ("8/(3-8/3)", 24, [8, 3, 8, 3]),
    ("10 - 3 - 2", 5, [10, 3, 2]),
    ("16 / 4 / 2", 2, [16, 4, 2]),
    ("$6 \\times \\left(5 − 1\\right)$", 24, [6, 5, 1]),
    ("\\(12 ÷ [2 + 1]\\)", 4, [12, 2, 1]),
  ],
)
def test_read(text, value, numbers):
  assert expressions.read(text) == (value, numbers)


def test_random_expressions_against_python():
  rng = np.random.default_rng(0)

  def make(depth):
    if depth == 0 or rng.random() < 0.3:
      return str(rng.integers(1, 20))
    left, right = make(depth - 1), make(depth - 1)
    inner = f"{left} {rng.choice(list('+-*/'))} {right}"
    return f"({inner})" if rng.random() < 0.5 else inner

  seen = 0
  while seen < 200:
    text = make(4)
    if len(text) > 200:
      continue
    exact = "".join(
      f"fractions.Fraction({part})" if part.isdecimal() else part
      for part in expressions._TOKEN.findall(text)
    )
    try:
      value = eval(exact)
    except ZeroDivisionError:
      with pytest.raises(ValueError, match="division by zero"):
        expressions.read(text)
      continue
    assert expressions.read(text)[0] == value
    seen += 1


@pytest.mark.parametrize(
  "text",
  [
    "",
    "1 +",
    "* 2",
    "-3 + 5",
    "1 2",
    "(1 + 2",
    "1 + 2)",
    "()",
    "1 / (2 - 2)",
    "2 ** 3",
    "2 ^ 3",
    "1.5 + 2",
    "x + 1",
    "9" * 10,
    "(" * 50 + "1" + ")" * 50,
    "1+" * 200 + "1",
    "__import__('os')",
  ],
)
def test_what_is_no_expression_is_refused_at_once(text):
  began = time.monotonic()
  with pytest.raises(ValueError) as error:
    expressions.read(text)
  assert "\n" not in str(error.value)
  assert time.monotonic() - began < 0.1
