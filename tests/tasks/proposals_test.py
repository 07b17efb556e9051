"""Steps as thoughts propose them, against those of the source task."""

import dataclasses

import jax
import numpy as np
import pytest
import trees
import unoptimized

from alphallm import tasks
from alphallm.tasks import proposals

THOUGHTS = tasks.Thoughts(source=tasks.Countdown(num_numbers=3, max_value=999))
TASK, SOURCE = proposals.Proposals(thoughts=THOUGHTS), THOUGHTS.source
WORDS = THOUGHTS.tokenizer


def text(state):
  return WORDS.decode(state.observation[: int(state.observation_length)])


def test_a_state_is_read_with_the_mark_of_a_step_behind_it():
  problem = jax.tree.map(
    lambda x: x[0], TASK.sample_numpy(np.random.default_rng(0), 1, "train")
  )
  state, true = TASK.init(problem), SOURCE.init(problem)
  assert text(state) == text(true) + "<complete>"
  tokens, length = TASK.prompt(problem)
  assert length == state.observation_length
  assert tokens.shape == (TASK.max_prompt_tokens,)
  assert TASK.max_observation_tokens == state.observation.shape[0]


def test_steps_lead_where_those_of_the_source_do():
  problems = TASK.sample_numpy(np.random.default_rng(0), 16, "train")

  @unoptimized.jit
  @jax.vmap
  def play(key, problem):
    state, true = TASK.init(problem), SOURCE.init(problem)
    step, length = TASK.random_step(key, state)
    own, own_length = SOURCE.random_step(key, true)
    whole = TASK.step(state, step, length)
    unfinished = TASK.step(state, own, own_length)  # ends in a newline
    return step, length, whole, unfinished, SOURCE.step(true, own, own_length)

  keys = jax.random.split(jax.random.key(0), 16)
  steps, lengths, after, unfinished, true = play(keys, problems)
  trees.assert_near(after.inner, true)
  assert np.all(after.legal) and not np.any(unfinished.legal)
  for step, length in zip(steps, lengths, strict=True):
    assert WORDS.decode(step[:length]).endswith(">")


def test_states_must_stand_alone():
  source = dataclasses.replace(SOURCE, context="append")
  thoughts = tasks.Thoughts(source=source)
  with pytest.raises(ValueError, match="states do not stand alone"):
    proposals.Proposals(thoughts=thoughts)
