import jax
import jax.numpy as jnp
import numpy as np
import pytest
import unoptimized

from alphallm import models, search, tasks, tokenizer

TOKENIZER = tokenizer.Tokenizer.train(["abc;"])
STOP, EOS = TOKENIZER.id(";"), TOKENIZER.eos_id


def make(reward=None, **options):
  return tasks.Text(
    **{
      "tokenizer": TOKENIZER,
      "max_prompt_tokens": 4,
      "max_step_tokens": 3,
      "max_steps": 4,
      "delimiter_ids": (STOP,),
      "reward": reward,
      **options,
    }
  )


def count_a(problem, tokens, length):
  """Return the share of `a` in a text that is not too short."""
  is_a = (tokens == TOKENIZER.id("a")) & (jnp.arange(tokens.shape[0]) < length)
  share = jnp.sum(is_a) / jnp.maximum(length, 1)
  return jnp.where(length >= problem.answer, share, 0.0)


def play(task, steps, answer=0):
  """Return the states after some steps, each a text (`$` ends the sequence)."""
  (problem,) = [
    jax.tree.map(lambda x: x[0], task.problems(["ab"], np.array([answer])))
  ]
  state, states = task.init(problem), []
  for step in steps:
    ids = [EOS if c == "$" else TOKENIZER.id(c) for c in step]
    padded = np.zeros(task.max_step_tokens, np.int32)
    padded[: len(ids)] = ids
    state = task.step(state, padded, np.int32(len(ids)))
    states.append(state)
  return states


def test_a_text_is_over_at_its_end_and_then_scored():
  states = play(make(count_a), ["ab;", "a;", "a$"])
  assert [bool(s.terminated) for s in states] == [False, False, True]
  assert [float(s.reward) for s in states] == pytest.approx([0, 0, 3 / 7])
  assert not any(s.truncated for s in states)
  inner = states[-1].inner
  assert int(inner.length) == 7 and int(inner.steps) == 3
  text = TOKENIZER.decode(inner.response)
  assert text == "ab;a;a"
  # What comes afterwards changes nothing, and is worth nothing.
  after = play(make(count_a), ["ab;", "a;", "a$", "aaa"])[-1]
  assert float(after.reward) == 0 and after.terminated
  np.testing.assert_array_equal(after.inner.response, inner.response)


def test_a_text_without_an_end_is_truncated_and_scored():
  states = play(make(count_a), ["a;", "a;", "a;", "a;"])
  assert bool(states[-1].terminated) and bool(states[-1].truncated)
  assert not states[-2].terminated
  assert float(states[-1].reward) == pytest.approx(0.5)


def test_an_empty_step_is_illegal():
  (state,) = play(make(count_a), [""])
  assert not state.legal and state.terminated and float(state.reward) == 0


def test_a_mark_makes_its_step_the_last():
  task = make(count_a, mark_ids=(TOKENIZER.id("c"),))
  states = play(task, ["ab;", "ac;"])
  assert [bool(s.terminated) for s in states] == [False, True]
  assert not states[-1].truncated
  assert float(states[-1].reward) == pytest.approx(2 / 6)
  # What stands behind a step is not read.
  assert not task.ends(jnp.array([5, 5, TOKENIZER.id("c")]), jnp.int32(2))


class Bare:
  """Ids of a vocabulary whose 0 is a token like any other."""

  vocab_size, eos_id, end_ids = 4, 2, (2, 3)


def test_id_0_is_a_token_where_a_length_says_so():
  """A text of zeros alone, which a search must neither cut nor merge."""
  task = tasks.Text(
    tokenizer=Bare(),
    max_prompt_tokens=2,
    max_step_tokens=3,
    max_steps=2,
    delimiter_ids=(1,),
    reward=lambda problem, tokens, length: (length == 4).astype(jnp.float32),
  )
  assert task.stop_ids == (1, 2, 3)
  # Zeros and steps that end at once are likely.
  logits = np.full((4, 4), -30.0, np.float32)
  logits[0] = [2, 1, -30, 0]
  run = search.mcts(
    models.without_cache(table), task, num_simulations=16, num_candidates=8
  )
  result = unoptimized.jit(run)(
    jnp.asarray(logits), jax.random.key(0), task.problems([[0], [0, 0]])
  )
  for row in range(2):
    assert result.solved[row]
    solution = result.solution(row)
    assert len(solution) == 4 and 0 in solution
    lengths = result.episode.candidate_lengths[row, 0]
    texts = {
      tuple(tokens[:n].tolist())
      for tokens, n in zip(
        np.asarray(result.candidates[row]), np.asarray(lengths), strict=True
      )
    }
    assert len(texts) == 8 and (0, 0, 0) in texts and (0, 1) in texts


def test_equal_texts_have_equal_fingerprints():
  prints = [
    int(play(make(), steps)[-1].fingerprint)
    for steps in (["a;", "b;"], ["a;", "b;"], ["b;", "a;"], ["a;"], ["ab;"])
  ]
  assert prints[0] == prints[1] and len(set(prints)) == 4


@pytest.mark.parametrize("prompt", ["", "abcab"])
def test_prompts_must_fit(prompt):
  with pytest.raises(ValueError, match="prompt 1 has . tokens.*1 to .*=4"):
    make().problems(["a", prompt])


def table(params, tokens):
  return params[tokens]


def searched(task, answers=(0, 2, 50), **options):
  logits = jax.random.normal(jax.random.key(1), (TOKENIZER.vocab_size,) * 2)
  logits = logits.at[:, TOKENIZER.pad_id].set(-1e4)
  run = search.mcts(
    models.without_cache(table), task, num_simulations=6, **options
  )
  return unoptimized.jit(run)(
    logits,
    jax.random.key(0),
    task.problems(["a", "bc", "abc"], np.array(answers)),
  )


def test_a_python_reward_is_asked_once_per_batch():
  sizes = []

  def score(problems, responses):
    assert len(problems) == len(responses) > 0
    sizes.append(len(responses))
    return [
      float(count_a(p, jnp.asarray(r), len(r)))
      for p, r in zip(problems, responses, strict=True)
    ]

  plain = searched(make(count_a), num_candidates=4)
  hosted = searched(make(tasks.on_host(score)), num_candidates=4)
  jax.tree.map(np.testing.assert_allclose, hosted, plain)
  assert max(sizes) > 3  # of several problems and candidates at once
  # Roots and nodes are judged and played one after the other, never by rows.
  assert len(sizes) <= 3 * 4 * (6 + 2)


@pytest.mark.parametrize(
  ("granularity", "options"),
  [
    ("token", {"max_step_tokens": 1, "delimiter_ids": (), "max_steps": 5}),
    ("span", {"max_step_tokens": 4, "delimiter_ids": (), "max_steps": 2}),
    ("solution", {"max_step_tokens": 6, "delimiter_ids": (), "max_steps": 1}),
  ],
)
def test_steps_of_any_size(granularity, options):
  task = make(count_a, **options)
  result = searched(task, num_candidates=4)
  steps = np.asarray(result.episode.steps)
  lengths = np.asarray(result.episode.step_lengths)
  for row in range(3):
    taken = int(result.episode.num_steps[row])
    assert 1 <= taken <= task.max_steps
    whole = steps[row, :taken]
    # A step is as long as it may be, unless it ends the text.
    assert all(
      n == task.max_step_tokens or EOS in step
      for n, step in zip(lengths[row, :taken], whole, strict=True)
    )
  root = np.asarray(result.candidates)
  assert root.shape == (3, 4, task.max_step_tokens)
  assert all(len({tuple(x) for x in row}) == 4 for row in root)
  np.testing.assert_allclose(result.policy.sum(-1), 1, rtol=1e-5)


def test_a_reward_below_one_is_searched_on():
  """A text that is half right is no solution: the best one is looked for."""
  task = make(count_a, max_step_tokens=1, delimiter_ids=(), max_steps=2)
  result = searched(task, answers=(1, 1, 1), num_candidates=8)
  np.testing.assert_array_equal(result.solved, result.reward == 1)
  assert np.any(result.solved)
  task = make(
    lambda *args: 0.5 * count_a(*args), max_step_tokens=1, max_steps=2
  )
  result = searched(task, answers=(1, 1, 1), num_candidates=8)
  assert not np.any(result.solved)
  assert np.all(np.asarray(result.reward) <= 0.5)
  assert np.all(np.asarray(result.tree.node_visits[:, 0]) == 7)
