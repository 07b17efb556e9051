import json

import jax
import numpy as np
import pytest

from alphallm import tasks, tokenizer
from alphallm.tasks import arithmetic, expressions, puzzles

TOKENIZER = tokenizer.Tokenizer.train(
  ["".join(map(chr, range(32, 127))), "×÷−"]
)
COUNTDOWN = tasks.Countdown(num_numbers=3, max_target=50, max_value=99)


def make(source=COUNTDOWN, **options):
  return tasks.Puzzles(tokenizer=TOKENIZER, source=source, **options)


@pytest.mark.parametrize("source", [COUNTDOWN, tasks.Game24()])
def test_examples_are_solved(source):
  task = make(source, num_examples=4, max_prompt_tokens=2000)
  for example in task.examples:
    given = json.loads(example.answer)
    expression = example.solution.rpartition("#### ")[2]
    value, used = expressions.read(expression)
    assert value == given["target"] and sorted(used) == sorted(given["numbers"])
  (question,) = task.draw_questions(np.random.default_rng(0), 1, "test")
  problem = jax.tree.map(lambda x: x[0], task.pose([question]))
  assert task.describe(problem).count("Combine the numbers") == 5
  assert json.loads(task.answer_of(problem)) == json.loads(question.answer)


@pytest.mark.parametrize(
  ("response", "score"),
  [
    (" (3 + 5) * 3\n", 1),
    ("3+5=8\n8*3=24\n#### (3 + 5) * 3 = 24\n", 1),
    ("First, let us see: 3 * (5 + 3)", 1),
    ("\\boxed{(3+5) \\times 3}", 1),
    ("#### 3 * 8", 0),  # not the numbers
    ("#### 3 + 5 + 3", 0),  # not the target
    ("#### (3 + 5) * 3 * 1", 0),
    ("24", 0),
    ("#### 24", 0),
    ("#### 3 * (5 + 3", 0),
    ("#### __import__('os')", 0),
    ("", 0),
  ],
)
def test_scores(response, score):
  task = make()
  problem = task.pose(task._in_words(_numbers([[3, 3, 5]], [24])))
  problem = jax.tree.map(lambda x: x[0], problem)
  ids = np.array(TOKENIZER.encode(response), np.int32)
  assert task.score([problem], [ids]) == [score]


def _numbers(rows, targets):
  return arithmetic.Problem(numbers=np.array(rows), target=np.array(targets))


def test_splits_and_files(tmp_path):
  task = make()
  draw = lambda split: {
    q.key for q in task.draw_questions(np.random.default_rng(1), 50, split)
  }
  assert not draw("train") & draw("test")
  path = tmp_path / "problems.jsonl"
  path.write_text('{"numbers": [3, 3, 5], "target": 24}\n')
  problem = jax.tree.map(lambda x: x[0], task.read_problems(path))
  assert "3, 3 and 5 into 24" in task.describe(problem)
  path.write_text('{"numbers": [3, 5], "target": 24}\n')
  with pytest.raises(ValueError, match="line 1: .* is not a list of 3"):
    task.read_problems(path)
  assert not puzzles.is_solution(None, [1], 1)
