"""Tests of thoughts as a task: what an answer is, and what is none."""

import itertools

import jax
import numpy as np
import pytest

from alphallm import tasks, tokenizer
from alphallm.tasks import long_thoughts

SOURCE = tasks.Countdown(num_numbers=3, max_value=999)
TASK = tasks.Thoughts(source=SOURCE, max_steps=6, max_tokens=64)
PROBLEM = {"numbers": [25, 3, 8], "target": 14}  # 25 - 8 = 17, 17 - 3 = 14


def problem():
  fields = {k: np.array(v, np.int32) for k, v in PROBLEM.items()}
  return type(SOURCE.sample_numpy(np.random.default_rng(0), 1, "train"))(
    **fields
  )


@pytest.fixture(scope="module")
def read():
  """A function from texts to the answers in them."""
  play = jax.jit(jax.vmap(TASK.read_answer, (None, 0, 0)))

  def of(*texts):
    tokens = np.zeros((80, 96), np.int32)  # compiled once
    lengths = np.zeros(80, np.int32)
    for i, text in enumerate(texts):
      ids = [*TASK.tokenizer.encode(text), TASK.tokenizer.eos_id]
      tokens[i, : len(ids)], lengths[i] = ids, len(ids)
    answers = jax.device_get(play(problem(), tokens, lengths))
    return jax.tree.map(lambda x: x[: len(texts)], answers)

  return of


def in_python(text):
  """Return whether an answer is right, and its legal steps, in plain Python."""
  _, mark, rest = text.partition(long_thoughts.ANSWER)
  numbers, count = list(PROBLEM["numbers"]), 0
  for line in rest.split("\n")[:-1] if mark else []:
    if len(numbers) == 1:
      break
    for a, b in itertools.permutations(range(len(numbers)), 2):
      x, y = numbers[a], numbers[b]
      results = {"+": x + y, "-": x - y, "*": x * y}
      if y and x % y == 0:
        results["/"] = x // y
      right = [r for s, r in results.items() if line == f"{x}{s}{y}={r}"]
      if right and 0 <= right[0] <= 999:
        break
    else:
      break
    numbers = [n for i, n in enumerate(numbers) if i not in (a, b)] + right
    count += 1
  return numbers == [PROBLEM["target"]], count


def test_answers_against_plain_python(read):
  solution = ["25-8=17\n", "17-3=14\n"]
  texts = [
    "<answer>" + "".join(solution),
    "<analyse>25+3+8=36\n<complete>25-8=17>3 17:14\n<answer>25-8=17\n17-3=14\n",
    "<answer>25-3=22\n22-8=14\n",
    "<answer>25-8=17\n",  # unfinished
    "<answer>25-8=17\n17-3=14",  # its last line has no end
    "<answer>25-8=18\n18-3=15\n",  # wrong sum
    "<answer>25-9=16\n",  # a number that is not there
    "<answer><answer>25-8=17\n17-3=14\n",
    "<answer>\n25-8=17\n17-3=14\n",
    "<answer>25-8=17\n3+8=11\n17-3=14\n",  # a step that is over
    "<answer>25-8=17\n17-3=14\n14-1=13\n",  # what follows does not count
    "<answer>25-8=17000000000000000000000\n17-3=14\n",  # longer than a step
    "25-8=17\n17-3=14\n",
    "<answer>",
    "",
  ]
  rng = np.random.default_rng(0)
  letters = np.array(list("0123456789+-*/=\n"))
  for _ in range(60):  # a wrong letter anywhere
    text = list("25-8=17\n17-3=14\n")
    text[rng.integers(len(text))] = rng.choice(letters)
    texts.append("<answer>" + "".join(text))
  answers = read(*texts)
  wanted = [in_python(text) for text in texts]
  np.testing.assert_array_equal(answers.solved, [w[0] for w in wanted])
  np.testing.assert_array_equal(answers.num_steps, [w[1] for w in wanted])
  np.testing.assert_array_equal(answers.path > 0, answers.solved)
  assert answers.solved[:3].all() and not answers.solved[3:9].any()


def test_solutions_by_the_same_states_are_one(read):
  path = read(
    "<answer>25-8=17\n17-3=14\n",
    "<evaluate>0\n<answer>25-8=17\n17-3=14\n",
    "<answer>25-3=22\n22-8=14\n",
  ).path
  assert path[0] == path[1] != path[2]


def test_a_thought_is_free_text_with_that_reward():
  step = jax.jit(TASK.step)
  posed = TASK.pose(jax.tree.map(lambda x: x[None], problem()))
  one = jax.tree.map(lambda x: x[0], posed)
  assert TASK.tokenizer.decode(one.tokens[: one.length]) == "25 3 8:14\n"
  assert TASK.describe(one) == SOURCE.describe(problem())
  state = jax.jit(TASK.init)(one)
  lines = ["<analyse>?\n", "<answer>25-8=17\n", "17-3=14\n", None]
  for line in lines:
    assert not state.terminated
    ids = TASK.tokenizer.encode(line) if line else [TASK.tokenizer.eos_id]
    tokens = np.zeros(TASK.max_step_tokens, np.int32)
    tokens[: len(ids)] = ids
    state = step(state, tokens, np.int32(len(ids)))
  assert state.terminated and state.reward == 1
  assert jax.jit(TASK.answer)(state) > 0
  cut = TASK.whole()
  assert cut.max_steps == 1 and cut.max_step_tokens == 64
  assert cut.stop_ids == (TASK.tokenizer.eos_id,)


def test_room():
  encode = lambda *lines: [
    *TASK.tokenizer.encode("".join(f"{line}\n" for line in lines)),
    TASK.tokenizer.eos_id,
  ]
  assert TASK.has_room(encode("1", "2", "3", "4", "5"))  # and the end: 6 lines
  assert not TASK.has_room(encode("1", "2", "3", "4", "5", "6"))
  assert TASK.has_room(encode("1" * 31)) and not TASK.has_room(encode("1" * 32))
  assert not TASK.has_room(encode(*["1" * 20] * 4))  # 85 tokens


def test_marks_are_tokens_of_the_sources_vocabulary():
  words = TASK.tokenizer
  for mark in (*long_thoughts.MARKS.values(), long_thoughts.ANSWER):
    assert len(words.encode(f"1{mark}2")) == 3
  assert TASK.source.tokenizer is words
  plain = tokenizer.Tokenizer.train(SOURCE.text_corpus())
  with pytest.raises(ValueError, match="is not one token"):
    tasks.Thoughts(source=SOURCE, tokenizer=plain)


def test_splits_are_those_of_the_source():
  drawn = TASK.sample_numpy(np.random.default_rng(0), 4, "test")
  theirs = SOURCE.sample_numpy(np.random.default_rng(0), 4, "test")
  np.testing.assert_array_equal(drawn.answer.numbers, theirs.numbers)
  blocks = tasks.Thoughts(source=tasks.BlocksWorld(max_blocks=4))
  assert blocks.levels == range(3, 5)
  drawn = blocks.sample_numpy(np.random.default_rng(0), 4, "test", level=3)
  assert (blocks.level_of(drawn) == 3).all()


def test_problems_are_drawn_while_a_training_forbids_transfers():
  with jax.transfer_guard("disallow"):
    drawn = TASK.sample_numpy(np.random.default_rng(0), 2, "train")
  assert isinstance(drawn.tokens, np.ndarray)
