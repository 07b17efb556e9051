"""Conversations as a model was trained to read them, by its chat template."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from alphallm.sandbox import workers
from alphallm.tokenizer import vocabulary


def render(
  tokenizer: vocabulary.Vocabulary,
  messages: Sequence[Mapping[str, Any]],
  *,
  add_generation_prompt: bool = True,
  **variables: Any,
) -> str:
  """Return a conversation as one text, its special tokens by their names.

  Templates are programs of whoever made the model: they run in Jinja's sandbox,
  in a process of their own, for seconds at most.

  Args:
    tokenizer: whose `marks.chat_template` is used.
    messages: each with a `role` and a `content`.
    add_generation_prompt: whether the text ends where the model is to answer.
    **variables: what the template knows besides, such as `enable_thinking`.

  Raises:
    ValueError: one line, if there is no template, or it fails.
  """
  marks = tokenizer.marks
  if marks.chat_template is None:
    raise ValueError("the tokenizer has no chat template")
  name = lambda i: "" if i is None else tokenizer.names[i]
  request = {
    "template": marks.chat_template,
    "variables": {
      "messages": [dict(message) for message in messages],
      "add_generation_prompt": add_generation_prompt,
      "bos_token": name(marks.bos_id),
      "eos_token": name(marks.eos_id),
      "tools": None,
      "documents": None,
      **variables,
    },
  }
  try:
    return _workers().ask(request)
  except (workers.Late, workers.Failed) as error:
    raise ValueError(f"the chat template fails: {error}") from error


def encode(
  tokenizer: vocabulary.Vocabulary,
  messages: Sequence[Mapping[str, Any]],
  **options: Any,
) -> list[int]:
  """Return the ids of a conversation; see `render`."""
  return tokenizer.encode(render(tokenizer, messages, **options))


@functools.cache
def _workers() -> workers.Workers:
  return workers.Workers("alphallm.sandbox.template", memory_bytes=1 << 30)
