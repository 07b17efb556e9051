"""Tests of episodes of worked answers."""

import jax
import numpy as np
import pytest

from alphallm import tasks
from alphallm.learning import imitation, replay


@pytest.mark.parametrize("worked", [False, True])
def test_episodes_are_the_solutions(worked):
  task = tasks.Sums(
    num_examples=1, worked=worked, max_step_tokens=20, max_steps=3
  )
  questions = task.draw_questions(np.random.default_rng(0), 5, "train")
  episodes, solved = imitation.episodes(task, questions, 2)
  assert np.all(solved) and np.all(episodes.on_solution[:, 0])
  for i, question in enumerate(questions):
    episode = jax.tree.map(lambda x, i=i: np.asarray(x[i]), episodes)
    assert episode.num_steps == (3 if worked else 1)
    context = episode.contexts[0][: episode.ends[episode.num_steps]]
    text = task.tokenizer.decode(context)
    assert text.startswith(task.plain(question))
    assert text.rstrip("\n").endswith(question.solution)
    for step in range(episode.num_steps):
      length = episode.candidate_lengths[step, 0]
      np.testing.assert_array_equal(
        episode.candidates[step, 0, :length],
        context[episode.ends[step] : episode.ends[step + 1]],
      )
    np.testing.assert_array_equal(
      episode.weights.sum(-1), np.arange(4) < episode.num_steps
    )
  examples, keep = replay.to_examples(
    episodes, solved, jax.random.key(0), discount=1.0
  )
  assert np.all(keep) and np.all(examples.values[:, 0] == 1)


def test_what_has_no_room_is_not_solved():
  task = tasks.Sums(max_step_tokens=2, max_steps=1)  # " 4" of " 42"
  questions = task.draw_questions(np.random.default_rng(0), 3, "train")
  assert not np.any(imitation.episodes(task, questions, 1)[1])
