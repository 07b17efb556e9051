"""Questions in words: prompts with examples or as a chat, answers checked.

A text that answers is over at the end-of-sequence token, at the end of the step
that holds "####", or, in a plain prompt, where the next question would begin.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import types
from alphallm.tasks import answers, hashing, text
from alphallm.tokenizer import chat

# Few: a hash seldom leaves this many draws without one of the split asked for.
_MOST_DRAWS = 10_000


@dataclasses.dataclass(frozen=True)
class Question:
  """A question.

  Attributes:
    question: what is asked.
    answer: the right answer.
    solution: how to get there, as an example of what to write.
    key: what it is but for its symmetries; equal keys, equal problems.
  """

  question: str
  answer: str
  solution: str
  key: str

  @property
  def split(self) -> str:
    """Of which split it is, by a hash of its key."""
    digest = hashlib.blake2b(self.key.encode(), digest_size=4).digest()
    hashed = np.frombuffer(digest, np.uint32)[0]
    return "test" if hashing.in_test_split(hashed) else "train"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Questions(text.Text):
  """Free text that answers a question; what all such tasks share.

  Attributes:
    delimiter: a step ends with a token whose text holds it; "": at no token.
      It takes the place of `delimiter_ids`.
    template: a question and its solution, as a plain prompt shows them.
    separator: stands between them, and ends the text that answers. It takes,
      with "####", the place of `mark_ids`.
    examples: questions, with their solutions, that stand before the one asked.
    spoken: a question, as the user of a chat puts it.
    as_chat: whether the prompt is a conversation, by the tokenizer's template.
    system: of a chat, what is said first; "": nothing.
    max_answer_bytes: of the right answer, in UTF-8.
    reward: `None`: 1 for the right answer, else 0.
  """

  max_prompt_tokens: int = 512
  delimiter: str = "\n"
  template: str = "Question: {question}\nAnswer: {solution}"
  separator: str = "\n\n"
  examples: tuple[Question, ...] = ()
  spoken: str = "{question}"
  as_chat: bool = False
  system: str = ""
  max_answer_bytes: int = 64

  name: ClassVar[str] = "questions"

  def __post_init__(self):
    super().__post_init__()
    for field in ("{question}", "{solution}"):
      if self.template.count(field) != 1:
        raise ValueError(f"template={self.template!r} must hold {field} once")
    marks = [answers.MARK] + ([] if self.as_chat else [self.separator])
    derived = {
      "delimiter_ids": text.ids_with(self.tokenizer, self.delimiter),
      "mark_ids": text.ids_with(self.tokenizer, *marks),
    }
    if self.reward is None:
      derived["reward"] = text.on_host(self.score)
    for field, value in derived.items():
      object.__setattr__(self, field, value)

  def pose(self, questions: Sequence[Question]) -> text.Problem:
    """Return questions as problems `[num_questions, ...]`.

    Raises:
      ValueError: if a prompt or an answer is too long.
    """
    right = np.zeros((len(questions), self.max_answer_bytes), np.uint8)
    for i, question in enumerate(questions):
      answer = question.answer.encode()
      if len(answer) > self.max_answer_bytes:
        raise ValueError(
          f"answer {i} has {len(answer)} bytes, more than max_answer_bytes="
          f"{self.max_answer_bytes}"
        )
      right[i, : len(answer)] = np.frombuffer(answer, np.uint8)
    return self.problems([self.encode(q) for q in questions], right)

  def encode(self, question: Question) -> list[int]:
    """Return the ids of the prompt that asks a question."""
    if self.as_chat:
      return chat.encode(self.tokenizer, self.messages(question))
    prefix = getattr(self.tokenizer, "marks", None)
    prefix = prefix.prefix_ids if prefix else ()
    return [*prefix, *self.tokenizer.encode(self.plain(question))]

  def encode_solution(self, question: Question) -> list[int]:
    """Return the ids of a question's solution, to follow its prompt."""
    if self.as_chat:
      ends = [self.tokenizer.eos_id]
      return [*self.tokenizer.encode(question.solution), *ends]
    shown = self._show(question)
    space = shown[len(shown.rstrip(" ")) :]  # that the prompt leaves out
    text = space + question.solution + self._after + self.separator
    return self.tokenizer.encode(text)

  def plain(self, question: Question) -> str:
    """Return the prompt that asks a question as plain text."""
    shown = [self._show(e) + e.solution + self._after for e in self.examples]
    return self.separator.join([*shown, self._show(question).rstrip(" ")])

  def messages(self, question: Question) -> list[dict[str, str]]:
    """Return the conversation that asks a question."""
    said = [("system", self.system)] if self.system else []
    ask = lambda asked: self.spoken.replace("{question}", asked.question)
    for example in self.examples:
      said += [("user", ask(example)), ("assistant", example.solution)]
    said.append(("user", ask(question)))
    return [{"role": role, "content": content} for role, content in said]

  def draw(self, rng: np.random.Generator) -> Question:
    """Draw a question of whatever split."""
    raise ValueError(f"the task {self.name!r} draws no questions")

  def draw_questions(
    self, rng: np.random.Generator, num_questions: int, split: str
  ) -> list[Question]:
    """Draw questions of a split.

    Raises:
      ValueError: if the split seems to hold none.
    """
    drawn, in_vain = [], 0
    while len(drawn) < num_questions:
      question = self.draw(rng)
      kept = question.split == split
      in_vain = 0 if kept else in_vain + 1
      if in_vain > _MOST_DRAWS:
        raise ValueError(f"found no question of {self.name}, split {split}")
      drawn += [question] if kept else []
    return drawn

  def sample_numpy(self, rng, num_problems, split) -> text.Problem:
    return self.pose(self.draw_questions(rng, num_problems, split))

  def read_problems(self, path) -> text.Problem:
    """Read JSON lines `{"question": ..., "answer": ...}`, as of GSM8K."""
    return self.pose(read_questions(path))

  def answer(self, state: types.State) -> chex.Array:
    """Return a hash of the answer that a text ends with, `[]` uint32."""
    shape = jax.ShapeDtypeStruct((), jnp.uint32)
    inner = state.inner
    return jax.pure_callback(
      self._answers,
      shape,
      inner.response,
      jnp.where(state.terminated, inner.length, 0),
      vmap_method="broadcast_all",
    )

  def _answers(self, responses, lengths) -> np.ndarray:
    responses, lengths = np.asarray(responses), np.asarray(lengths)
    hashes = np.zeros(lengths.shape, np.uint32)
    for place in np.argwhere(lengths > 0):
      found = self.extract(responses[tuple(place)][: lengths[tuple(place)]])
      hashes[tuple(place)] = answers.hashed(found)
    return hashes

  def score(self, problems: list[Any], responses: list[np.ndarray]):
    """Return 1 for each response that ends in the right answer, else 0."""
    right = [self.answer_of(problem) for problem in problems]
    found = [self.extract(response) for response in responses]
    return np.asarray(answers.equal(right, found), np.float32)

  def extract(self, response: np.ndarray) -> str | None:
    """Return what a response answers, `None` if it does not."""
    return answers.extract(self.tokenizer.decode(response))

  def answer_of(self, problem: text.Problem) -> str:
    """Return the right answer of one problem."""
    return bytes(np.asarray(problem.answer)).rstrip(b"\0").decode()

  def _show(self, question: Question) -> str:
    before = self.template.partition("{solution}")[0]
    return before.replace("{question}", question.question)

  @property
  def _after(self) -> str:
    return self.template.partition("{solution}")[2]


def read_questions(path) -> list[Question]:
  """Read JSON lines `{"question": ..., "answer": ...}`.

  The answer is what stands behind "####", or else the whole; what GSM8K puts
  between << and >> is left out of the solution.

  Raises:
    ValueError: one line that names the file, the line and what is wrong.
  """
  return [from_record(record, where) for record, where in read_records(path)]


def read_asked(path) -> list[Question]:
  """Read questions whose answers may be unknown.

  Args:
    path: JSON lines (`.json`, `.jsonl`), `{"question": ...}`, with an "answer"
      where it is known, as `read_questions` takes it; or text, a question in
      each line.

  Raises:
    ValueError: one line that names the file, the line and what is wrong.
  """
  if pathlib.Path(path).suffix not in (".json", ".jsonl"):
    return [asked(line) for line, _ in read_lines(path)]
  return [
    from_record(record, where)
    if "answer" in record
    else asked(_text_of(record, "question", where))
    for record, where in read_records(path)
  ]


def asked(question: str) -> Question:
  """Return a question whose answer is not known: it is ""."""
  return word_problem(question, "")


def read_lines(path) -> list[tuple[str, str]]:
  """Return the lines of a file that are not empty, and where each stands."""
  try:
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
  except OSError as error:
    raise ValueError(f"{path}: {error.strerror}") from error
  except UnicodeDecodeError as error:
    raise ValueError(f"{path}: not a text file") from error
  if not any(line.strip() for line in lines):
    raise ValueError(f"{path}: no problems in it")
  return [
    (line, f"{path}, line {i}")
    for i, line in enumerate(lines, start=1)
    if line.strip()
  ]


def read_records(path) -> Iterable[tuple[dict[str, Any], str]]:
  """Yield the objects of a file of JSON lines, and where each stands."""
  for line, where in read_lines(path):
    try:
      record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
      raise ValueError(f"{where}: not JSON") from error
    if not isinstance(record, dict):
      raise ValueError(f"{where}: not an object")
    yield record, where


def from_record(record: dict[str, Any], where: str) -> Question:
  """Return the question of a record; errors say `where` it stands."""
  question = _text_of(record, "question", where)
  return word_problem(question, _text_of(record, "answer", where))


def _text_of(record: dict[str, Any], name: str, where: str) -> str:
  value = record.get(name)
  if not isinstance(value, str) or not value.strip():
    raise ValueError(f'{where}: "{name}" is no text')
  return value


def word_problem(question: str, solution: str) -> Question:
  """Return a question from a text and a solution that ends in its answer."""
  answer = solution.rpartition(answers.MARK)[2].strip()
  parts = solution.split("<<")
  plain = [part.partition(">>")[2] for part in parts[1:]]
  return Question(
    question=question.strip(),
    answer=answer,
    solution="".join([parts[0], *plain]).strip(),
    key=" ".join(question.lower().split()),
  )
