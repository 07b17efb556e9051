"""Tests of traces: right, legal, and never of a held-out problem."""

import jax
import numpy as np
import pytest

from alphallm import tasks
from alphallm.initialization import thoughts, traces
from alphallm.tasks import long_thoughts

TASKS = {
  "countdown": (
    tasks.Thoughts(source=tasks.Countdown(num_numbers=3, max_value=999)),
    traces.TraceConfig(max_width=3, max_visits=16),
  ),
  "blocks_world": (
    tasks.Thoughts(source=tasks.BlocksWorld(max_blocks=4)),
    traces.TraceConfig(max_visits=20),
  ),
}


@pytest.fixture(scope="module", params=TASKS)
def drawn(request):
  """A task, its documents as texts, and the problems that they are about."""
  task, config = TASKS[request.param]
  source = traces.Traces(task, config, "train", seed=1)
  documents = [source.read(i) for i in range(64)]
  rng = np.random.default_rng([1, 0, 0])
  problems = task.source.sample_numpy(rng, 64, "train")
  kept = [i for i, document in enumerate(documents) if document]
  problems = jax.tree.map(lambda x: x[kept], problems)
  return task, config, problems, [documents[i] for i in kept]


def split(task, document):
  ends = document.tokens[-1] == task.tokenizer.eos_id
  assert ends and document.is_response[-1]
  decode = task.tokenizer.decode
  prompt = document.tokens[~document.is_response]
  return decode(prompt), document.tokens[document.is_response]


def test_every_answer_is_right(drawn):
  task, _, problems, documents = drawn
  assert len(documents) > 20
  tokens = np.zeros((len(documents), task.max_tokens), np.int32)
  lengths = np.zeros(len(documents), np.int32)
  for row, document in enumerate(documents):
    prompt, response = split(task, document)
    tokens[row, : len(response)], lengths[row] = response, len(response)
    posed = jax.tree.map(lambda x, r=row: x[r], problems)
    assert task.source.describe(posed)
  answers = jax.jit(jax.vmap(task.read_answer))(problems, tokens, lengths)
  assert np.asarray(answers.solved).all()
  posed = task.pose(problems)
  for row, document in enumerate(documents):
    asked = posed.tokens[row, : posed.length[row]]
    np.testing.assert_array_equal(
      document.tokens[: len(asked)], asked, err_msg=str(row)
    )


def test_every_behaviour_is_shown(drawn):
  task, _, _, documents = drawn
  texts = [task.tokenizer.decode(split(task, d)[1]) for d in documents]
  for name in long_thoughts.MARKS:
    assert sum(thoughts.count(text)[name] > 0 for text in texts) > 3, name
  for text in texts:
    lines = text.partition("<answer>")[0].splitlines()
    assert all(line.startswith("<") for line in lines)


def test_a_document_is_the_same_whenever_it_is_read(drawn):
  task, config, _, _ = drawn
  one, other = (traces.Traces(task, config, "train", seed=1) for _ in "ab")
  for index in (200, 3, 70, 3):
    a, b = one.read(index), other.read(index)
    assert (a is None) == (b is None)
    if a is not None:
      np.testing.assert_array_equal(a.tokens, b.tokens)
    other.read(index + 500)


def test_no_held_out_problem_is_thought_about():
  task, config = TASKS["countdown"]
  sources = {
    split: traces.Traces(task, config, split, seed=2)
    for split in ("train", "test")
  }
  init = jax.jit(jax.vmap(task.source.init))
  for name, source in sources.items():
    games = source._draw(0)
    problems = task.source.sample_numpy(
      np.random.default_rng([2, 0, 0]), 64, name
    )
    assert [g.target for g in games] == problems.target.tolist()
    held_out = np.asarray(init(problems).held_out)
    np.testing.assert_array_equal(held_out, name == "test")


def test_widths_out_of_order_are_refused():
  with pytest.raises(ValueError, match="min_width=4 is above max_width=2"):
    traces.TraceConfig(min_width=4, max_width=2)
