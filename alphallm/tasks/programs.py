"""Small Python functions, told in words and held to unit tests.

  take x, add y, multiply by 3
  def f(x, y):
   x = x + y
   x = x * 3
   return x
  #

A step is a line; "#" ends the program. It is run apart from the machine, with
its unit tests behind it (`alphallm.sandbox`), and solves the problem if nothing
is raised: that it is written as the solution is, is not asked for.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from alphallm import tokenizer as tokenizer_lib
from alphallm.sandbox import isolation
from alphallm.tasks import questions

_END = "#"  # begins a comment: of no effect
# By words: what is done to x, as code, and in earnest.
_OPERATIONS = {
  "add {}": ("x + {}", lambda x, y: x + y),
  "subtract {}": ("x - {}", lambda x, y: x - y),
  "multiply by {}": ("x * {}", lambda x, y: x * y),
  "take the larger of it and {}": ("max(x, {})", max),
  "take the smaller of it and {}": ("min(x, {})", min),
}
_CORPUS = (
  "take x, " + ", ".join(_OPERATIONS),
  "def f(x, y):\n x = max(x, 0) + min(x, 1) - 2 * y\n return x\n#",
  "assert f(3, 4) == -56789",
)


@functools.lru_cache
def default_tokenizer() -> tokenizer_lib.Tokenizer:
  """Return a character tokenizer of the questions and the programs."""
  return tokenizer_lib.Tokenizer.train(_CORPUS)


@functools.lru_cache(maxsize=1 << 16)
def passes(program: str, limits: isolation.Limits) -> bool:
  """Return whether a program, its tests behind it, comes to its end.

  Raises:
    isolation.CannotIsolate: if this machine cannot run it apart from itself.
  """
  return isolation.run(program, limits).passed


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Programs(questions.Questions):
  """Functions of two whole numbers; splits differ in the operations.

  Attributes:
    tokenizer: `None` for a character tokenizer.
    max_operations: in a row, at most.
    num_tests: unit tests of each function.
    seconds: that a program may run.
  """

  tokenizer: Any = None
  max_prompt_tokens: int = 128
  max_step_tokens: int = 20
  max_steps: int = 6
  max_operations: int = 2
  num_tests: int = 4
  seconds: float = 2.0
  template: str = "{question}\n{solution}\n"
  separator: str = _END
  max_answer_bytes: int = 192

  name: ClassVar[str] = "programs"

  def __post_init__(self):
    if self.tokenizer is None:
      object.__setattr__(self, "tokenizer", default_tokenizer())
    super().__post_init__()

  def draw(self, rng: np.random.Generator) -> questions.Question:
    count = int(rng.integers(1, self.max_operations + 1))
    known = list(_OPERATIONS)
    kinds = [known[i] for i in rng.integers(len(known), size=count)]
    operands = ["y" if n < 5 else str(n) for n in rng.integers(1, 10, count)]
    told = [k.format(o) for k, o in zip(kinds, operands, strict=True)]
    lines = [
      f" x = {_OPERATIONS[kind][0].format(operand)}"
      for kind, operand in zip(kinds, operands, strict=True)
    ]
    tests = []
    for first, second in rng.integers(-9, 10, (self.num_tests, 2)).tolist():
      x = first
      for kind, operand in zip(kinds, operands, strict=True):
        x = _OPERATIONS[kind][1](x, second if operand == "y" else int(operand))
      tests.append(f"assert f({first}, {second}) == {x}")
    return questions.Question(
      question=", ".join(["take x", *told]),
      answer="\n".join(tests),
      solution="\n".join(["def f(x, y):", *lines, " return x"]),
      key=", ".join(told),
    )

  def score(self, problems: list[Any], responses: list[np.ndarray]):
    """Return 1 for each program that passes its unit tests, else 0."""
    limits = isolation.Limits(seconds=self.seconds)
    found = [
      passes(f"{self.extract(response)}\n{self.answer_of(problem)}", limits)
      for problem, response in zip(problems, responses, strict=True)
    ]
    return np.asarray(found, np.float32)

  def extract(self, response: np.ndarray) -> str:
    """Return the program of a response."""
    return self.tokenizer.decode(response).partition(_END)[0].strip()

  def text_corpus(self) -> list[str]:
    return list(_CORPUS)
