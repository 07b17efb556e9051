"""Tests of random legal steps as documents."""

import jax
import numpy as np
import pytest

from alphallm import tasks
from alphallm.initialization import rules


@pytest.fixture(scope="module", params=["reset", "append"])
def source(request):
  task = tasks.Countdown(num_numbers=3, max_value=999, context=request.param)
  return task, rules.RandomSteps(task, "train", seed=0)


def split(task, document):
  """Return prompts and steps in turn, as text."""
  decode = task.tokenizer.decode
  cuts = np.flatnonzero(np.diff(document.is_response.astype(int))) + 1
  return [decode(part) for part in np.split(document.tokens, cuts)]


def test_every_step_is_legal(source):
  task, documents = source
  found = [documents.read(i) for i in range(60)]
  found = [split(task, document) for document in found if document]
  assert len(found) > 30
  turns = {len(parts) // 2 for parts in found}  # one ends at a held-out state
  assert turns == {1} if task.context == "reset" else turns == {1, 2}
  for parts in found:
    for i in range(0, len(parts), 2):
      numbers, target = parts[i].strip().split(":")
      step, result = parts[i + 1].strip().split("=")
      numbers = list(map(int, numbers.split()))
      sign = next(s for s in "+-*/" if s in step)
      a, b = map(int, step.split(sign))
      results = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else -1}
      assert results[sign] == int(result)
      place = numbers.index(a)
      numbers[place] = int(result)
      numbers.pop(
        next(j for j, x in enumerate(numbers) if x == b and j != place)
      )
      if i + 2 < len(parts):
        rest = " ".join(map(str, numbers))
        assert parts[i + 2] == f"{rest}:{target}\n"


def test_a_document_is_the_same_whenever_it_is_read(source):
  task, documents = source
  again = rules.RandomSteps(task, "train", seed=0)
  for index in (130, 2, 131):
    a, b = documents.read(index), again.read(index)
    assert (a is None) == (b is None)
    jax.tree.map(np.testing.assert_array_equal, a and a.tokens, b and b.tokens)


def test_no_held_out_state_is_shown(source):
  task, documents = source
  turns, _, _ = documents._block(0)
  hidden = turns.held_out & ~turns.terminated
  assert hidden.any() and not hidden[:, 0].any()  # 2 numbers may be held out
  if task.context == "reset":
    for problem, turn in np.argwhere(hidden)[:5]:
      assert documents.read(problem * task.max_steps + turn) is None


def test_solutions_end_at_their_targets():
  task = tasks.Countdown(num_numbers=3, max_value=999, context="append")
  some = rules.SolutionsConfig(attempts=128)
  solutions = rules.RandomSteps(task, "train", 0, some)
  found = [solutions.read(i) for i in range(40)]
  assert sum(document is not None for document in found) > 20
  whole = [parts for x in found if x and len(parts := split(task, x)) == 4]
  assert len(whole) > 15  # the others end at a held-out state
  for prompt, *_, last in whole:
    assert last.strip().split("=")[1] == prompt.strip().split(":")[1]
