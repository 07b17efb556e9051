"""Rewriting against attempts whose prompts are made by hand."""

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_task
import unoptimized

from alphallm import search, tasks, tokenizer

WORDS = tokenizer.Tokenizer.train(["abcd;?"])
TASK = tasks.Text(
  tokenizer=WORDS,
  max_prompt_tokens=2,
  max_step_tokens=3,
  max_steps=2,
  delimiter_ids=(WORDS.id(";"),),
  reward=lambda problem, tokens, length: (
    jnp.mean((tokens == problem.answer).astype(jnp.float32)) > 0.3
  ).astype(jnp.float32),
)
PROMPTS = ["a", "bc", "d", "ca", "dd"]
ANSWERS = np.array([WORDS.id(c) for c in "abcda"])
ROUNDS = 3


def params():
  bias = np.full((WORDS.vocab_size,) * 2, -4.0)
  bias[:, [WORDS.id(c) for c in "abcd"]] = 0.0
  bias[:, [WORDS.pad_id, WORDS.id("?")]] = -99.0
  return fake_model.init_params(WORDS.vocab_size, bias=bias, seed=1)


PARAMS = params()


def made(permission, **options):
  return unoptimized.jit(
    search.rewriting(
      fake_model.apply_fn,
      TASK,
      num_revisions=ROUNDS - 1,
      doubt="?",
      check="??",
      noise=False,
      permission=permission,
      **options,
    )
  )


@pytest.mark.parametrize("permission", ["nothing", "checker"])
def test_each_answer_follows_the_one_before_and_feedback(permission):
  run = made(permission)
  found = run(PARAMS, jax.random.key(0), TASK.problems(PROMPTS, ANSWERS))
  wide = tasks.Text(**{**vars(TASK), "max_prompt_tokens": 2 + 6 + 2})
  alone = unoptimized.jit(
    search.best_of_n(
      fake_model.apply_fn,
      wide,
      num_samples=1,
      noise=False,
      permission=permission,
    )
  )
  prompts = [WORDS.encode(prompt) for prompt in PROMPTS]
  asked, spent = list(prompts), np.zeros(len(PROMPTS), int)
  rests, doubts, wide_found = np.zeros(len(PROMPTS), bool), set(), []
  for time in range(ROUNDS):
    one = alone(PARAMS, jax.random.key(0), wide.problems(asked, ANSWERS))
    spent += np.where(rests, 0, one.cost.prefilled + one.cost.decoded)
    wide_found.append(one)
    for row, prompt in enumerate(prompts):
      if rests[row]:
        continue
      answer = [t for t in one.solution(row) if t != WORDS.eos_id]
      path = jax.tree.map(lambda x: x[row, time], found.paths)  # noqa: B023
      np.testing.assert_array_equal(path.tokens, one.paths.tokens[row, 0])
      value = float(one.value[row])
      wrong = permission == "checker" and not one.solved[row]
      word = "?" if wrong or value < 0.5 else "??"
      doubts.add(word)
      asked[row] = [*prompt, *answer, *WORDS.encode(word)]
      np.testing.assert_allclose(path.value, value, rtol=1e-5)
    if permission == "checker":
      rests |= np.asarray(one.solved)
  np.testing.assert_array_equal(
    found.cost.prefilled + found.cost.decoded, spent
  )
  if permission == "checker":
    np.testing.assert_array_equal(found.solved, rests)
    assert 0 < rests.sum() < len(rests)
  else:
    best = np.argmax([one.value for one in wide_found], axis=0)
    for row, time in enumerate(best):
      np.testing.assert_array_equal(
        found.solution(row), wide_found[time].solution(row)
      )
    assert doubts == {"?", "??"} and len(set(best)) > 1


def test_chains_are_several():
  run = search.rewriting(
    fake_model.apply_fn,
    TASK,
    num_revisions=1,
    num_chains=3,
    doubt="?",
    check="?",
  )
  shapes = jax.eval_shape(
    run, PARAMS, jax.random.key(0), TASK.problems(PROMPTS, ANSWERS)
  )
  assert shapes.paths.score.shape == (len(PROMPTS), 6)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"num_revisions": -1}, "num_revisions=-1"),
    ({"doubt": "No!"}, "rewriting: 'No!' cannot be written"),
    ({"guidance": search.guidance.log_prob()}, "by log_prob.*not from 0 to 1"),
  ],
)
def test_what_makes_no_sense_is_refused(options, words):
  with pytest.raises(ValueError, match=words):
    search.rewriting(fake_model.apply_fn, TASK, **{"check": "?"} | options)
  with pytest.raises(ValueError, match="walk is no free text"):
    search.rewriting(fake_model.apply_fn, toy_task.Walk())
  chat = tasks.Sums(as_chat=True)
  with pytest.raises(ValueError, match="a chat asks for feedback in turns"):
    search.rewriting(fake_model.apply_fn, chat)
