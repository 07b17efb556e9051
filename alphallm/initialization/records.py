"""Records of text as documents: JSON lines, or a dataset of tfds.

A record is one of

  {"text": ...}                        learnt from its first token to its last
  {"prompt": ..., "response": ...}     the response is learnt
  {"messages": [{"role", "content"}]}  in chat form; what the assistant says is

Each ends with the end-of-sequence token, a chat as its template says.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alphallm.initialization import documents
from alphallm.tasks import base, questions
from alphallm.tokenizer import chat, vocabulary


@dataclasses.dataclass(frozen=True)
class RecordsConfig:
  """Which records are learnt from.

  Either `path` or `dataset` is given.
  """

  path: str = ""  # of a file of JSON lines
  dataset: str = ""  # name of one of tfds, prepared on disk
  data_dir: str = ""  # where it lies
  split: str = "train"  # of it; also a slice
  validation_every: int = 50  # of so many records one is for validation
  vocabulary: str = ""  # a file of `alphallm.vocabulary`; "": the task's own

  def __post_init__(self):
    if bool(self.path) == bool(self.dataset):
      raise ValueError("give a path or a dataset, not both")
    if self.dataset and not self.data_dir:
      raise ValueError("data_dir is missing: where the dataset lies")


class Records:
  """A source of records, shuffled anew in every epoch.

  Attributes:
    part: the numbers of the records that it reads.
  """

  def __init__(
    self,
    config: RecordsConfig,
    tokenizer: vocabulary.Vocabulary,
    split: base.Split,
    seed: int,
  ):
    """Open the records.

    Args:
      config: which they are.
      tokenizer: writes them.
      split: `train`, or `test`, what is for validation.
      seed: of the shuffling.

    Raises:
      ValueError: one line, if there are none.
    """
    self._tokenizer, self._seed = tokenizer, seed
    self._records = _open(config)
    places = np.arange(len(self._records))
    is_test = places % config.validation_every == config.validation_every - 1
    self.part = places[is_test == (split == "test")]
    if not len(self.part):
      raise ValueError(
        f"of {len(places)} records none is of the split {split}: lower "
        "validation_every"
      )
    self._order = functools.lru_cache(maxsize=2)(self._shuffle)

  def read(self, index: int) -> documents.Document:
    epoch, place = divmod(index, len(self.part))
    number = int(self.part[self._order(epoch)[place]])
    try:
      return encode(self._tokenizer, self._records[number])
    except ValueError as error:
      raise ValueError(f"record {number}: {error}") from error

  def _shuffle(self, epoch: int) -> np.ndarray:
    rng = np.random.default_rng([self._seed, epoch])
    return rng.permutation(len(self.part))


class WorkedAnswers:
  """A source of questions with the solutions that a task knows of."""

  def __init__(self, task: questions.Questions, split: base.Split, seed: int):
    self._task, self._split, self._seed = task, split, seed

  def read(self, index: int) -> documents.Document:
    rng = np.random.default_rng([self._seed, index])
    (question,) = self._task.draw_questions(rng, 1, self._split)
    return documents.of(
      (self._task.encode(question), False),
      (self._task.encode_solution(question), True),
    )


def read_corpus(path) -> list[str]:
  """Return the lines of a corpus, none of them empty.

  Args:
    path: a file of records (`.json`, `.jsonl`), of which all texts are taken,
      or of text.

  Raises:
    ValueError: one line that says what is wrong.
  """
  if pathlib.Path(path).suffix not in (".json", ".jsonl"):
    return [line for line, _ in questions.read_lines(path)]
  lines = []
  for record, where in questions.read_records(path):
    try:
      texts = _texts(record)
    except ValueError as error:
      raise ValueError(f"{where}: {error}") from error
    lines += [line for text in texts for line in text.splitlines() if line]
  return lines


def encode(
  tokenizer: vocabulary.Vocabulary, record: Mapping[str, Any]
) -> documents.Document:
  """Return a record as a document; see above for its forms.

  Raises:
    ValueError: if it has none of them.
  """
  starts, end = list(tokenizer.marks.prefix_ids), [tokenizer.eos_id]
  if "messages" in record:
    return _encode_chat(tokenizer, _messages(record))
  if "text" in record:
    text = tokenizer.encode(_text(record, "text"))
    return documents.of(([*starts, *text, *end], True))
  prompt, response = _text(record, "prompt"), _text(record, "response")
  return documents.of(
    ([*starts, *tokenizer.encode(prompt)], False),
    ([*tokenizer.encode(response), *end], True),
  )


def _texts(record: Mapping[str, Any]) -> list[str]:
  """Return all text of a record, whatever its form."""
  if "messages" in record:
    return [_text(m, "content") for m in _messages(record)]
  fields = ("text",) if "text" in record else ("prompt", "response")
  return [_text(record, field) for field in fields]


def _messages(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
  messages = record["messages"]
  if not isinstance(messages, Sequence) or not messages:
    raise ValueError('"messages" is no list of messages')
  for message in messages:
    for field in ("role", "content"):
      _text(message if isinstance(message, Mapping) else {}, field)
  return messages


def _encode_chat(tokenizer, messages) -> documents.Document:
  """Return a conversation, in which each turn of the assistant is learnt."""
  parts, written = [], ""
  for i, message in enumerate(messages, start=1):
    if message["role"] != "assistant":
      continue
    before = chat.render(tokenizer, messages[: i - 1])
    after = chat.render(tokenizer, messages[:i], add_generation_prompt=False)
    if not (before.startswith(written) and after.startswith(before)):
      raise ValueError(
        "the chat template writes earlier turns anew with each: such a chat "
        "cannot be learnt as one text"
      )
    parts += [
      (tokenizer.encode(before.removeprefix(written)), False),
      (tokenizer.encode(after.removeprefix(before)), True),
    ]
    written = after
  if not parts:
    raise ValueError("the assistant says nothing in it")
  return documents.of(*parts)


def _text(record: Mapping[str, Any], field: str) -> str:
  value = record.get(field)
  if isinstance(value, bytes | np.bytes_):
    value = bytes(value).decode("utf-8", "replace")
  if not isinstance(value, str) or not value:
    raise ValueError(f'"{field}" is no text')
  return value


def _open(config: RecordsConfig) -> Sequence[Mapping[str, Any]]:
  if config.path:
    return [record for record, _ in questions.read_records(config.path)]
  import tensorflow_datasets as tfds

  try:
    return tfds.data_source(
      config.dataset, split=config.split, data_dir=config.data_dir
    )
  except Exception as error:  # a package of many kinds of errors
    line = str(error).strip().splitlines() or [type(error).__name__]
    raise ValueError(
      f"no dataset {config.dataset!r} with split {config.split!r} in "
      f"{config.data_dir}: {line[0]}"
    ) from error
