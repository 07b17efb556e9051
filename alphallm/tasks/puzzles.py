"""Countdown and the game of 24 as word problems, answered by an expression."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from alphallm.tasks import (
  answers,
  arithmetic,
  expressions,
  game24,
  questions,
  text,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Puzzles(questions.Questions):
  """Numbers to be combined into a target, each of them once.

  Attributes:
    source: the game that draws and reads the problems, and solves them.
    num_examples: questions of the split `train` before the one asked.
  """

  source: arithmetic.Arithmetic = dataclasses.field(
    default_factory=game24.Game24
  )
  num_examples: int = 0

  name: ClassVar[str] = "puzzles"

  def __post_init__(self):
    if not self.examples and self.num_examples:
      rng = np.random.default_rng(0)
      shown = self.draw_questions(rng, self.num_examples, "train")
      object.__setattr__(self, "examples", tuple(shown))
    super().__post_init__()

  def draw_questions(self, rng, num_questions, split):
    """As of `Questions`; the splits are those of `source`."""
    drawn = self.source.sample_numpy(rng, num_questions, split)
    return self._in_words(drawn)

  def read_problems(self, path) -> text.Problem:
    """Read JSON lines `{"numbers": [25, 3, 7, 8], "target": 24}`."""
    return self.pose(self._in_words(self.source.read_problems(path)))

  def score(self, problems: list[Any], responses: list[np.ndarray]):
    """Return 1 for each response that ends in an expression that is right.

    It is looked for in the last `\\boxed{}`, behind the last "####", or else on
    the last line that holds an operator; what follows an equals sign counts for
    nothing.
    """
    scores = []
    for problem, response in zip(problems, responses, strict=True):
      given = json.loads(self.answer_of(problem))
      found = _expression(self.tokenizer.decode(response))
      scores.append(is_solution(found, given["numbers"], given["target"]))
    return np.asarray(scores, np.float32)

  def _in_words(self, problems) -> list[questions.Question]:
    rows = np.asarray(problems.numbers).tolist()
    targets = np.asarray(problems.target).tolist()
    return [
      self._question(numbers, target)
      for numbers, target in zip(rows, targets, strict=True)
    ]

  def _question(self, numbers: list[int], target: int) -> questions.Question:
    *others, last = map(str, numbers)
    return questions.Question(
      question=(
        f"Combine the numbers {', '.join(others)} and {last} into {target}. Use"
        " each of them exactly once, with +, -, *, / and brackets."
      ),
      answer=json.dumps({"numbers": numbers, "target": target}),
      solution=self._solution(numbers, target),
      key=f"{sorted(numbers)} {target}",
    )

  def _solution(self, numbers: list[int], target: int) -> str:
    """Return the steps to a solution, and it; "" if there is none."""
    steps = self.source.solve(numbers, target) if self.num_examples else None
    if steps is None:
      return ""
    held = [(str(number), str(number)) for number in numbers]
    for step in map(str.strip, steps):
      left, result = step.split("=")
      (sign,) = (sign for sign in "+-*/" if sign in left)
      operands = []
      for value in left.split(sign):
        at = [value for value, _ in held].index(value)
        operands.append(held.pop(at)[1])
      held.append((result, f"({operands[0]} {sign} {operands[1]})"))
    lines = [step.strip().replace("|", "/") for step in steps]
    return "\n".join([*lines, f"{answers.MARK} {held[0][1][1:-1]}"])


def is_solution(
  expression: str | None, numbers: Sequence[int], target: int
) -> bool:
  """Return whether an expression makes the target of the numbers, each once."""
  if expression is None:
    return False
  try:
    value, used = expressions.read(expression.partition("=")[0])
  except ValueError:
    return False
  return value == target and sorted(used) == sorted(numbers)


def _expression(response: str) -> str | None:
  boxed = answers.last_boxed(response)
  if boxed is not None:
    return boxed
  _, mark, after = response.rpartition(answers.MARK)
  if mark:
    return (after.strip().splitlines() or [None])[0]
  lines = [
    line.rpartition(":")[2]
    for line in response.splitlines()
    if any(sign in line for sign in "+-*/×÷−")
  ]
  return lines[-1] if lines else None
