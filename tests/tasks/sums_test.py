import foreign_tokenizers as foreign
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
import unoptimized

from alphallm import models, search, tasks, tokenizer
from alphallm.tasks import sums, text
from alphallm.tokenizer import byte_pairs


def byte_level():
  model = tokenizers.Tokenizer.from_str(foreign.byte_level_json())
  marks = tokenizer.Marks(
    eos_id=0, bos_id=1, prefix_ids=(1,), chat_template=foreign.TEMPLATE
  )
  return byte_pairs.BytePairs(model, marks)


def draw(task, num, split="test", seed=0):
  return task.draw_questions(np.random.default_rng(seed), num, split)


@pytest.mark.parametrize(
  "dials",
  [
    {},
    {"max_operations": 4, "operators": "+-*", "max_digits": 3},
    {"min_operations": 3, "max_operations": 3, "operators": "+-"},
  ],
)
def test_answers_and_splits(dials):
  task = tasks.Sums(**dials)
  for split in "train", "test":
    for question in draw(task, 50, split):
      assert question.answer == str(eval(question.question))
      signs = sum(sign in "+-*" for sign in question.question.split())
      assert task.min_operations <= signs <= task.max_operations
      assert question.split == split
  train = {q.key for q in draw(task, 300, "train")}
  test = {q.key for q in draw(task, 300)}
  assert not train & test


def test_equal_sums_are_of_one_split():
  assert sums._key("1 + 20 - 3 * 4") == sums._key("20 - 4 * 3 + 1")
  assert sums._key("3 - 4") != sums._key("4 - 3")
  assert sums._key("3 + 4") != sums._key("3 * 4")


def test_worked_solutions_end_in_the_answer():
  task = tasks.Sums(
    worked=True, max_operations=3, operators="+-", num_examples=2
  )
  assert len(task.examples) == 2
  for question in draw(task, 20):
    *lines, last = question.solution.split("\n")
    assert last == f"#### {question.answer}"
    for line in lines:
      left, right = line.split(" = ")
      assert eval(left) == int(right)


def test_prompts():
  ours = byte_level()
  task = tasks.Sums(tokenizer=ours, num_examples=3)
  (question,) = draw(task, 1)
  plain = task.plain(question)
  *shown, asked = plain.split("\n")
  assert len(shown) == 3 and asked == f"{question.question} ="
  assert all(
    eval(left) == int(right)
    for left, right in (line.split(" = ") for line in shown)
  )
  problem = jax.tree.map(lambda x: x[0], task.pose([question]))
  ids = problem.tokens[: problem.length]
  assert ids[0] == 1 and ours.decode(ids) == plain
  assert task.describe(problem) == plain
  assert task.answer_of(problem) == question.answer
  spoken = tasks.Sums(tokenizer=ours, as_chat=True, system="Be brief.")
  text = "".join(
    (
      "<|start|>system\nBe brief.<|end|>\n<|start|>user\nWhat is ",
      f"{question.question}?<|end|>\n<|start|>assistant\n",
    )
  )
  assert spoken.encode(question) == ours.encode(text)


def test_a_step_ends_at_any_token_that_holds_the_delimiter():
  ours = byte_level()
  ids = text.ids_with(ours, "\n")
  assert ours.id("\n") in ids and len(ids) > 1  # ":\n", "\n " and the like
  assert all(
    (b"\n" in ours.token_bytes(i)) == (i in ids) for i in range(ours.vocab_size)
  )
  task = tasks.Sums(tokenizer=ours)
  assert task.delimiter_ids == ids and set(ids) <= set(task.mark_ids)
  assert set(task.stop_ids) == {*ids, ours.eos_id}
  assert tasks.Sums(tokenizer=ours, delimiter="").delimiter_ids == ()


@pytest.mark.parametrize(
  ("dials", "message"),
  [
    ({"max_operations": 0}, "1 to 0 is not a range"),
    ({"max_digits": 1}, "2 to 1 is not a range"),
    ({"operators": "+/"}, "are not some of"),
    ({"operators": "*", "worked": True}, "not with"),
    ({"template": "{question}"}, "must hold {solution} once"),
    ({"max_answer_bytes": 0}, "answer 0 has . bytes"),
    ({"max_prompt_tokens": 2}, "prompt 0 has . tokens"),
  ],
)
def test_mistakes_are_named(dials, message):
  with pytest.raises(ValueError, match=message):
    tasks.Sums(**dials).sample_numpy(np.random.default_rng(0), 1, "test")


def test_scores():
  task = tasks.Sums()
  question = draw(task, 1)
  problem = jax.tree.map(lambda x: x[0], task.pose(question))
  right = question[0].answer
  for response, score in (
    (f" {right}\n", 1),
    (f"#### {right}", 1),
    (f" {int(right) + 1}\n", 0),
    ("", 0),
  ):
    ids = np.array(task.tokenizer.encode(response), np.int32)
    assert task.score([problem], [ids]) == [score]


def test_a_search_finds_sums_by_the_checker():
  """A table of what follows a character: digits, and now and then an end."""
  task = tasks.Sums(max_digits=1, min_digits=1, max_step_tokens=4)
  ours = task.tokenizer
  logits = np.full((ours.vocab_size,) * 2, -30.0, np.float32)
  digits = [ours.id(c) for c in "0123456789"]
  logits[ours.id("=")][ours.id(" ")] = 0
  logits[ours.id(" ")][digits] = 0
  for digit in digits:
    logits[digit][[*digits, ours.id("\n")]] = 0
  run = search.mcts(
    models.without_cache(lambda params, tokens: params[tokens]),
    task,
    num_simulations=2,
    num_candidates=64,
    max_moves=1,
  )
  problems = task.sample_numpy(np.random.default_rng(0), 3, "test")
  result = unoptimized.jit(run)(
    jnp.asarray(logits), jax.random.key(0), problems
  )
  assert np.any(result.solved)
  for row in np.flatnonzero(result.solved):
    found = ours.decode(result.solution(row))
    right = task.answer_of(jax.tree.map(lambda x: x[row], problems))  # noqa: B023
    assert found == f" {right}\n"
