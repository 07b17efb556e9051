"""Tests of small Python functions as problems."""

import numpy as np
import pytest

from alphallm import tasks
from alphallm.sandbox import isolation


@pytest.fixture(scope="module")
def task():
  return tasks.Programs()


def draw(task, count=40, split="train"):
  return task.draw_questions(np.random.default_rng(0), count, split)


def test_solutions_pass_their_tests(task):
  """Trusted, and so run here: they are what the task itself wrote."""
  for question in draw(task):
    namespace = {}
    exec(f"{question.solution}\n{question.answer}", namespace)
    assert question.answer.count("assert") == task.num_tests
    assert namespace["f"](0, 0) is not None


def test_solutions_have_room(task):
  for question in draw(task):
    written = task.encode_solution(question)
    text = task.tokenizer.decode(written)
    assert text == question.solution + "\n#"
    lines = text.splitlines(keepends=True)
    assert len(lines) <= task.max_steps
    assert max(map(len, lines)) <= task.max_step_tokens
    assert written[-1] in task.mark_ids


def test_splits_share_no_function(task):
  keys = [{q.key for q in draw(task, split=s)} for s in ("train", "test")]
  assert not keys[0] & keys[1]


def test_programs_are_scored_by_their_tests(task):
  try:
    isolation.run("pass")
  except isolation.CannotIsolate as error:
    pytest.skip(str(error))
  questions = draw(task, 2)
  problems = task.pose(questions)
  rows = [
    type(problems)(**{k: x[i] for k, x in problems.items()}) for i in (0, 0, 1)
  ]
  wrong = "def f(x, y):\n return 1000\n#"
  texts = [
    questions[0].solution + "\n#", wrong, questions[1].solution + "  # and so"
  ]  # fmt: skip
  responses = [np.array(task.tokenizer.encode(text)) for text in texts]
  np.testing.assert_array_equal(task.score(rows, responses), [1, 0, 1])
