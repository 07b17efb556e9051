"""Tests of prompts that ask for behaviours."""

import foreign_tokenizers
import numpy as np
import pytest

from alphallm import tasks
from alphallm.initialization import prompts, thoughts
from alphallm.tasks import long_thoughts


@pytest.mark.parametrize("form", [prompts.steps, prompts.monologue])
def test_what_a_prompt_asks_for(form):
  every = form()
  for text in prompts.INSTRUCTIONS.values():
    assert text in every
  assert "####" in every and "<correct>" not in every
  some = form(["evaluation", "correction"], marked=True)
  assert prompts.INSTRUCTIONS["analysis"] not in some
  assert "<correct> for the correction" in some and "<analyse>" not in some
  with pytest.raises(ValueError, match="'luck' is none of analysis"):
    form(["luck"])


def test_all_six_have_words():
  assert list(prompts.INSTRUCTIONS) == list(long_thoughts.MARKS)
  assert prompts.steps() != prompts.monologue()


def test_a_task_in_chat_form_says_it():
  task = tasks.Sums(
    tokenizer=foreign_tokenizers.byte_pairs(),
    max_prompt_tokens=2_000,
    as_chat=True,
    system=prompts.monologue(marked=True),
  )
  (question,) = task.draw_questions(np.random.default_rng(0), 1, "test")
  said = task.messages(question)
  assert [m["role"] for m in said] == ["system", "user"]
  assert "scratch paper" in task.tokenizer.decode(task.encode(question))


def test_marked_answers_are_read_as_thoughts_are():
  reply = "<analyse>Two numbers.\n<correct>No, again.\n#### 42"
  assert thoughts.count(reply)["correction"] == 1
