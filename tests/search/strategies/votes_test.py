"""Votes on what texts answer, by a network that babbles numbers."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import unoptimized

from alphallm import models, search, tasks
from alphallm.tasks import answers

N = 12


def task_and_params():
  task = tasks.Sums(max_step_tokens=3, max_steps=1, max_prompt_tokens=16)
  text = task.tokenizer
  logits = np.full((text.vocab_size,) * 2, -9.0, np.float32)
  logits[:, [text.id(c) for c in "12"]] = 0.0
  logits[:, [text.id("0"), text.id("\n")]] = -1.0
  return task, jnp.asarray(logits)


def test_the_answer_is_what_most_texts_end_with():
  task, params = task_and_params()
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  problems = task.sample_numpy(np.random.default_rng(0), 3, "test")
  run = search.vote(apply_fn, task, num_samples=N, permission="nothing")
  found = unoptimized.jit(run)(params, jax.random.key(0), problems)
  many = 0
  for row in range(3):
    given = []
    for i in range(N):
      inner = jax.tree.map(lambda x: x[row, i], found.paths.state.inner)  # noqa: B023
      response = np.asarray(inner.response[: inner.length])
      given.append(answers.extract(task.tokenizer.decode(response)))
    votes = collections.Counter(map(answers.number, filter(None, given)))
    chosen = task.tokenizer.decode(found.solution(row))
    chosen = answers.number(answers.extract(chosen))
    assert votes[chosen] == max(votes.values())
    np.testing.assert_allclose(
      found.value[row], votes[chosen] / sum(votes.values()), rtol=1e-6
    )
    many += votes[chosen] > 1
  assert many


def test_texts_vote_alike_by_self_consistency():
  """The best of N by self-consistency is the vote."""
  task, params = task_and_params()
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  problems = task.sample_numpy(np.random.default_rng(0), 3, "test")
  settings = {"num_samples": N, "permission": "nothing"}
  runs = (
    search.vote(apply_fn, task, **settings),
    search.best_of_n(
      apply_fn,
      task,
      guidance=search.guidance.self_consistency(),
      **settings,
    ),
  )
  votes, best = (
    unoptimized.jit(run)(params, jax.random.key(0), problems) for run in runs
  )
  np.testing.assert_array_equal(votes.tokens, best.tokens)
