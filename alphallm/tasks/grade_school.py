"""Grade-school maths in the form of GSM8K (Cobbe et al. 2021).

The problems are local files of JSON lines, `{"question": ..., "answer": ...}`,
the answer ending in "#### 42". `write` makes a dataset of TensorFlow Datasets
of them, without TensorFlow; `GradeSchool` is the task that draws from it.
"""

import dataclasses
import functools
import pathlib
from typing import ClassVar

import tensorflow_datasets as tfds

from alphallm.tasks import answers, datasets, questions

_VERSION = "1.0.0"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GradeSchool(questions.Questions):
  """Word problems whose answer is a number.

  Attributes:
    data_dir: the folder of datasets into which `write` wrote them.
    num_examples: problems of the split `train`, the first ones, with their
      solutions, that stand before the one asked.
  """

  data_dir: str
  num_examples: int = 0
  spoken: str = (
    "{question}\nThink step by step, and end with a line of #### and the"
    " number."
  )
  max_step_tokens: int = 64
  max_steps: int = 12

  name: ClassVar[str] = "grade_school"

  def __post_init__(self):
    if not self.examples and self.num_examples:
      shown = self._questions("train")[: self.num_examples]
      object.__setattr__(self, "examples", tuple(shown))
    super().__post_init__()

  @functools.cached_property
  def _read(self) -> dict[str, list[questions.Question]]:
    return {}

  def _questions(self, split: str) -> list[questions.Question]:
    if split not in self._read:
      self._read[split] = [
        questions.word_problem(record["question"], record["answer"])
        for record in read(self.data_dir, split)
      ]
    return self._read[split]

  def draw_questions(self, rng, num_questions, split):
    """Draw questions of a split, with replacement; none of the examples."""
    shown = {example.key for example in self.examples}
    held = [q for q in self._questions(split) if q.key not in shown]
    if not held:
      raise ValueError(f"no question of {self.name}, split {split}, is left")
    return [held[i] for i in rng.integers(len(held), size=num_questions)]

  def all_problems(self, split: str):
    """Return all problems of a split, in order."""
    return self.pose(self._questions(split))


def write(data_dir, *, train, test=None) -> pathlib.Path:
  """Write a dataset of problems from files of JSON lines.

  Args:
    data_dir: a folder of datasets, made where there is none.
    train: a file. Questions that are in `test` too are left out.
    test: a file; `None`: a tenth of `train`, by a hash of the question.

  Returns:
    The folder of the dataset.

  Raises:
    ValueError: one line, if a file is malformed, a split would be empty, or
      the dataset is already there.
  """
  path = pathlib.Path(data_dir) / GradeSchool.name / _VERSION
  if path.exists():
    raise ValueError(f"{path} is already there: remove it to write it anew")
  records = {"train": _records(train), "test": {}}
  if test is not None:
    records["test"] = _records(test)
  else:
    is_test = lambda r: questions.word_problem(*r).split == "test"
    records["test"] = {k: r for k, r in records["train"].items() if is_test(r)}
  for key in records["test"]:
    records["train"].pop(key, None)
  for split, held in records.items():
    if not held:
      raise ValueError(f"{train}: no problem is left for the split {split}")
  GradeSchoolBuilder(
    {split: list(held.values()) for split, held in records.items()},
    data_dir=str(data_dir),
  ).download_and_prepare()
  return path


def read(data_dir, split: str):
  """Return a split as a sequence of `{"question": str, "answer": str}`.

  Raises:
    ValueError: one line, if there is no such dataset or split.
  """
  source = datasets.read(GradeSchool.name, data_dir, split)
  return [{k: v.decode() for k, v in record.items()} for record in source]


class GradeSchoolBuilder(tfds.core.GeneratorBasedBuilder):
  """Writes questions and answers as they are, in their order."""

  VERSION = tfds.core.Version(_VERSION)

  def __init__(self, records: dict[str, list[tuple[str, str]]], **kwargs):
    """Make a builder.

    Args:
      records: for each split pairs of question and answer.
      **kwargs: as of `GeneratorBasedBuilder`.
    """
    self.name = GradeSchool.name  # not in the registry of datasets
    self._records = records
    super().__init__(file_format="array_record", **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    features = {name: tfds.features.Text() for name in ("question", "answer")}
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    return {split: self._generate_examples(split) for split in self._records}

  def _generate_examples(self, split):
    for i, (question, answer) in enumerate(self._records[split]):
      yield i, {"question": question, "answer": answer}


def _records(path) -> dict[str, tuple[str, str]]:
  """Return the records of a file by key; of equal questions the first."""
  records = {}
  for record, where in questions.read_records(path):
    question = questions.from_record(record, where)
    if answers.number(question.answer) is None:
      raise ValueError(f'{where}: "answer" does not end in #### and a number')
    pair = record["question"], record["answer"]
    records.setdefault(question.key, pair)
  return records
