"""Chained arithmetic: "17 + 25 - 8 =", of any number of operations."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm.tasks import answers, expressions, questions

_CORPUS = ("0123456789 +-*=?#",)


@functools.lru_cache
def default_tokenizer() -> tokenizer_lib.Tokenizer:
  """Return a character tokenizer of sums."""
  return tokenizer_lib.Tokenizer.train(_CORPUS)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sums(questions.Questions):
  """Sums of whole numbers; by default of two numbers of two digits.

  Attributes:
    tokenizer: `None` for a character tokenizer.
    min_operations: least number of operations.
    max_operations: largest number of operations.
    min_digits: of the smallest number.
    max_digits: of the largest number.
    operators: of which operations are drawn, some of "+-*".
    worked: whether solutions show the result of each operation, on a line of
      its own, from left to right; only of "+" and "-".
    num_examples: questions of the split `train` before the one asked.
    template: `None`: "17 + 25 = 42", or, if worked, a line for each operation.
    separator: `None`: a newline, or, if worked, an empty line.
  """

  tokenizer: Any = None
  max_prompt_tokens: int = 128
  min_operations: int = 1
  max_operations: int = 1
  min_digits: int = 2
  max_digits: int = 2
  operators: str = "+"
  worked: bool = False
  num_examples: int = 0
  template: str | None = None
  separator: str | None = None
  spoken: str = "What is {question}?"
  max_step_tokens: int = 16

  name: ClassVar[str] = "sums"

  def __post_init__(self):
    for least, most in (
      (self.min_operations, self.max_operations),
      (self.min_digits, self.max_digits),
    ):
      if not 1 <= least <= most <= 9:
        raise ValueError(f"{least} to {most} is not a range in 1 to 9")
    if not self.operators or set(self.operators) - set("+-*"):
      raise ValueError(f"operators={self.operators!r} are not some of +-*")
    if self.worked and "*" in self.operators:
      raise ValueError("worked=True goes from left to right: not with *")
    defaults = {
      "tokenizer": default_tokenizer(),
      "template": "{question} =\n{solution}" if self.worked else None,
      "separator": "\n\n" if self.worked else "\n",
    }
    defaults["template"] = defaults["template"] or "{question} = {solution}"
    for field, value in defaults.items():
      if getattr(self, field) is None:
        object.__setattr__(self, field, value)
    if not self.examples and self.num_examples:
      rng = np.random.default_rng(0)
      shown = self.draw_questions(rng, self.num_examples, "train")
      object.__setattr__(self, "examples", tuple(shown))
    super().__post_init__()

  def draw(self, rng: np.random.Generator) -> questions.Question:
    count = int(rng.integers(self.min_operations, self.max_operations + 1))
    low, high = 10 ** (self.min_digits - 1), 10**self.max_digits
    numbers = rng.integers(low, high, count + 1).tolist()
    signs = [
      self.operators[i] for i in rng.integers(len(self.operators), size=count)
    ]
    question = str(numbers[0])
    for sign, number in zip(signs, numbers[1:], strict=True):
      question += f" {sign} {number}"
    answer = str(expressions.read(question)[0])
    return questions.Question(
      question=question,
      answer=answer,
      solution=_work(numbers, signs) if self.worked else answer,
      key=_key(question),
    )

  def text_corpus(self) -> list[str]:
    return list(_CORPUS)


def _work(numbers: list[int], signs: list[str]) -> str:
  """Return a line for each operation, and one for the answer."""
  lines, total = [], numbers[0]
  for sign, number in zip(signs, numbers[1:], strict=True):
    after = total + (number if sign == "+" else -number)
    lines.append(f"{total} {sign} {number} = {after}")
    total = after
  return "\n".join([*lines, f"{answers.MARK} {total}"])


def _key(question: str) -> str:
  """Return a sum but for the order of its terms and of their factors."""
  terms = (" " + question).replace(" - ", " + -").split(" + ")
  ordered = []
  for term in terms:
    sign = "-" if term.startswith("-") else "+"
    factors = sorted(term.strip(" -").split(" * "), key=int)
    ordered.append(sign + "*".join(factors))
  return " ".join(sorted(ordered))
