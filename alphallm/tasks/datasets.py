"""Any task's problems on disk, as a dataset of TensorFlow Datasets.

Without TensorFlow: the files are array records, read by `tfds.data_source`.
"""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds

from alphallm.tasks import base

_VERSION = "1.0.0"


def write(
  task: base.Task, data_dir, *, num_train: int, num_test: int, seed: int
) -> pathlib.Path:
  """Draw problems of both splits and write them under `data_dir`.

  Args:
    task: whose problems; its name is the dataset's.
    data_dir: a folder of datasets, made where there is none.
    num_train: number of problems of the split `train`.
    num_test: number of problems of the split `test`.
    seed: of the draws, one stream for each split.

  Returns:
    The folder of the dataset.

  Raises:
    ValueError: if the dataset is already there, or a split would be empty.
  """
  if min(num_train, num_test) < 1:
    raise ValueError(f"a split of {min(num_train, num_test)} problems is none")
  path = pathlib.Path(data_dir) / task.name / _VERSION
  if path.exists():
    raise ValueError(f"{path} is already there: remove it to write it anew")
  problems = {
    split: task.sample_numpy(np.random.default_rng([seed, i]), num, split)
    for i, (split, num) in enumerate([("train", num_train), ("test", num_test)])
  }
  builder = ProblemsBuilder(task.name, problems, data_dir=str(data_dir))
  builder.download_and_prepare()
  return path


def read(task_name: str, data_dir, split: str):
  """Return a split as a random-access source of records, in order.

  Args:
    task_name: name of the task whose problems were written.
    data_dir: where.
    split: `train` or `test`; also a slice of one, such as `train[:100]`.

  Returns:
    A sequence of dicts of arrays, one per problem; see `to_problems`.

  Raises:
    ValueError: one line, if there is no such dataset or split.
  """
  path = pathlib.Path(data_dir) / task_name / _VERSION
  if not path.exists():
    raise ValueError(f"no dataset {task_name} in {data_dir}: {path} is missing")
  try:
    return tfds.data_source(task_name, split=split, data_dir=str(data_dir))
  except ValueError as error:
    raise ValueError(f"{path}: no split {split!r}") from error


def to_problems(
  task: base.Task, records: Iterable[Mapping[str, np.ndarray]]
) -> Any:
  """Return records as the task's problems, a pytree `[num_records, ...]`.

  Args:
    task: the task whose problems were written.
    records: some records of `read`, at least one.

  Raises:
    ValueError: if they are not of this task, or of another size of it.
  """
  example = task.sample_numpy(np.random.default_rng(0), 1, "train")
  shapes = {k: x.shape[1:] for k, x in _by_name(example).items()}
  records = list(records)
  found = {k: np.shape(x) for k, x in records[0].items()}
  if found != shapes:
    raise ValueError(f"records of {found} are not {task.name}'s, {shapes}")
  leaves = [np.stack([record[name] for record in records]) for name in shapes]
  return jax.tree.unflatten(jax.tree.structure(example), leaves)


class ProblemsBuilder(tfds.core.GeneratorBasedBuilder):
  """Writes problems as they are, in their order, one example each.

  Attributes:
    name: the name of the dataset.
  """

  VERSION = tfds.core.Version(_VERSION)

  def __init__(self, name: str, problems: dict[str, Any], **kwargs):
    """Make a builder.

    Args:
      name: the name of the dataset.
      problems: for each split a pytree of arrays `[num_problems, ...]`.
      **kwargs: as of `GeneratorBasedBuilder`.
    """
    self.name = name
    self._problems = {k: _by_name(x) for k, x in problems.items()}
    super().__init__(file_format="array_record", **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      name: tfds.features.Tensor(shape=x.shape[1:], dtype=x.dtype)
      for name, x in self._problems["train"].items()
    }
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    return {split: self._generate_examples(split) for split in self._problems}

  def _generate_examples(self, split):
    columns = self._problems[split]
    for i, row in enumerate(zip(*columns.values(), strict=True)):
      yield i, dict(zip(columns, row, strict=True))


def _by_name(problems: Any) -> dict[str, np.ndarray]:
  """Name the leaves of a pytree by their paths, such as `goal.on`."""
  leaves = jax.tree_util.tree_leaves_with_path(problems)
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
    for path, leaf in leaves
  }
