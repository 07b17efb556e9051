import json

import jax
import numpy as np
import pytest

from alphallm.tasks import countdown, datasets, game24

TASK = countdown.Countdown(num_numbers=3)


def equal(a, b):
  return jax.tree.all(jax.tree.map(np.array_equal, a, b))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("data")
  datasets.write(TASK, path, num_train=50, num_test=20, seed=7)
  return path


@pytest.mark.parametrize(("split", "num"), [("train", 50), ("test", 20)])
def test_reads_what_was_written(data_dir, split, num):
  source = datasets.read("countdown", data_dir, split)
  assert len(source) == num
  problems = datasets.to_problems(TASK, source)
  rng = np.random.default_rng([7, ["train", "test"].index(split)])
  written = TASK.sample_numpy(rng, num, split)
  assert equal(problems, written)
  assert problems.numbers.dtype == written.numbers.dtype == np.int32
  assert np.all(jax.vmap(TASK.init)(problems).held_out == (split == "test"))
  some = datasets.to_problems(TASK, [source[i] for i in (3, 1)])
  assert equal(some, jax.tree.map(lambda x: x[[3, 1]], written))


def test_format_is_array_record(data_dir):
  info = json.loads(
    (data_dir / "countdown/1.0.0/dataset_info.json").read_text()
  )
  assert info["fileFormat"] == "array_record"


def test_mistakes_are_named(data_dir):
  with pytest.raises(ValueError, match="is already there"):
    datasets.write(TASK, data_dir, num_train=1, num_test=1, seed=0)
  with pytest.raises(ValueError, match="a split of 0 problems"):
    datasets.write(TASK, data_dir / "new", num_train=1, num_test=0, seed=0)
  with pytest.raises(ValueError, match="no dataset game24 in"):
    datasets.read("game24", data_dir, "train")
  with pytest.raises(ValueError, match="no split 'validation'") as error:
    datasets.read("countdown", data_dir, "validation")
  assert "\n" not in str(error.value)
  source = datasets.read("countdown", data_dir, "test")
  with pytest.raises(ValueError, match="are not game24's"):
    datasets.to_problems(game24.Game24(), source)
