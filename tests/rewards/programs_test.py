import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import tasks
from alphallm.rewards import programs
from alphallm.sandbox import isolation

LETTERS = "x=0123456789+\n"
LIMITS = isolation.Limits(seconds=2.0)


class Letters:
  """The least that a task asks of a tokenizer."""

  vocab_size, eos_id = len(LETTERS) + 1, 0

  def encode(self, text):
    return [LETTERS.index(c) + 1 for c in text]

  def decode(self, ids):
    return "".join(LETTERS[i - 1] for i in ids if i)


@pytest.fixture(scope="module", autouse=True)
def walls():
  try:
    isolation.run("pass")
  except isolation.CannotIsolate as error:
    pytest.skip(str(error))


def test_passed():
  texts = ["assert 1 + 1 == 2", "assert 1 + 1 == 3", "raise SystemExit(0)"]
  found = programs.passed(texts, LIMITS, num_workers=2)
  np.testing.assert_array_equal(found, [True, False, False])


def test_a_task_pays_for_programs_that_pass():
  letters = Letters()
  task = tasks.Text(
    tokenizer=letters,
    max_prompt_tokens=2,
    max_step_tokens=8,
    max_steps=1,
    reward=programs.unit_tests(
      lambda problem, text: f"{text}\nassert x == {int(problem.answer)}",
      letters.decode,
      LIMITS,
    ),
  )
  problems = task.problems(["x", "x"], answers=np.array([7, 7]))
  answers = ["x=3+4", "x=3+5"]
  tokens = np.zeros((2, 8), np.int32)
  for row, answer in enumerate(answers):
    tokens[row, : len(answer)] = letters.encode(answer)
  state = jax.vmap(task.init)(problems)
  after = jax.vmap(task.step)(state, jnp.asarray(tokens), jnp.array([5, 5]))
  np.testing.assert_array_equal(after.reward, [1, 0])
