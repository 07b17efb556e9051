import json

import jax
import numpy as np
import pytest

from alphallm import tasks, tokenizer
from alphallm.tasks import grade_school, questions

TOKENIZER = tokenizer.Tokenizer.train(["".join(map(chr, range(32, 127)))])


def lines(start, num):
  return [
    {
      "question": f"Tom has {i} eggs and buys 2 more. How many has he?",
      "answer": f"He has {i}+2=<<{i}+2={i + 2}>>{i + 2} eggs.\n#### {i + 2:,}",
    }
    for i in range(start, start + num)
  ]


def write(path, records):
  path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
  return path


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp("data")
  train = write(path / "train.jsonl", lines(1000, 40) + lines(1000, 3))
  test = write(path / "test.jsonl", lines(1035, 10))
  grade_school.write(path, train=train, test=test)
  return path


def test_reads_what_was_written(data_dir):
  assert grade_school.read(data_dir, "test") == lines(1035, 10)
  # Of equal questions one is kept, and none that is of the test split.
  assert grade_school.read(data_dir, "train") == lines(1000, 35)


def test_the_task(data_dir):
  task = tasks.GradeSchool(
    tokenizer=TOKENIZER, data_dir=str(data_dir), num_examples=2
  )
  problems = task.all_problems("test")
  assert problems.length.shape == (10,)
  problem = jax.tree.map(lambda x: x[0], problems)
  assert task.answer_of(problem) == "1,037"
  told = task.describe(problem)
  shown = "Question: Tom has 1000 eggs and buys 2 more. How many has he?\n"
  assert told.startswith(
    f"{shown}Answer: He has 1000+2=1002 eggs.\n#### 1,002\n\nQuestion: "
  )
  assert told.endswith("1035 eggs and buys 2 more. How many has he?\nAnswer:")
  for response, score in (
    (" 1035+2=1037\n#### 1037\n", 1),
    ("So \\boxed{1,037}.", 1),
    ("He has 1037 eggs.", 1),
    ("#### 1036\n", 0),
  ):
    ids = np.array(TOKENIZER.encode(response), np.int32)
    assert task.score([problem], [ids]) == [score]
  drawn = task.draw_questions(np.random.default_rng(0), 200, "train")
  keys = {question.key for question in drawn}
  assert len(keys) == 33  # none of the examples
  again = task.sample_numpy(np.random.default_rng(0), 3, "train")
  assert again.tokens.shape == (3, task.max_prompt_tokens)


def test_one_file_is_split_by_a_hash(tmp_path):
  path = write(tmp_path / "all.jsonl", lines(0, 200))
  grade_school.write(tmp_path, train=path)
  read = lambda split: grade_school.read(tmp_path, split)
  assert len(read("train")) + len(read("test")) == 200
  assert 8 <= len(read("test")) <= 35
  assert all(
    questions.word_problem(r["question"], r["answer"]).split == "test"
    for r in read("test")
  )
  with pytest.raises(ValueError, match="is already there"):
    grade_school.write(tmp_path, train=path)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("", "no problems in it"),
    ("{", "line 1: not JSON"),
    ("[" * 100_000, "line 1: not JSON"),
    ("[]", "line 1: not an object"),
    ('{"question": "a"}', 'line 1: "answer" is no text'),
    ('{"question": 1, "answer": "#### 1"}', 'line 1: "question" is no text'),
    ('{"question": "a", "answer": "#### b"}', "does not end in ####"),
    ('{"question": "a", "answer": "#### 1"}', "no problem is left"),
  ],
)
def test_malformed_files(tmp_path, content, message):
  (tmp_path / "a.jsonl").write_text(content)
  with pytest.raises(ValueError, match=message) as error:
    grade_school.write(tmp_path, train=tmp_path / "a.jsonl")
  assert "\n" not in str(error.value)


def test_missing_data(tmp_path):
  with pytest.raises(ValueError, match="no dataset grade_school in"):
    tasks.GradeSchool(
      tokenizer=TOKENIZER, data_dir=str(tmp_path), num_examples=1
    )
  with pytest.raises(ValueError, match="No such file"):
    grade_school.write(tmp_path, train=tmp_path / "none.jsonl")
