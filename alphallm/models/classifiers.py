"""Reward models of Hugging Face: a language model with a head of classes.

Their head becomes the value head of ours, so that the sigmoid of a value logit
is what theirs says: of one class (sequence classification, trained on
preferences) the reward itself, of two (process reward models) the probability
of the second, for softmax(l)₁ = σ(l₁ − l₀).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from alphallm.formats import stored

_KINDS = ("ForSequenceClassification", "ForTokenClassification")
_LABELS = ("id2label", "label2id", "num_labels", "problem_type")
_DROPOUTS = ("classifier_dropout", "hidden_dropout")
# Their name of a parameter, and that of our file of a value head.
_HEAD = {"score.weight": "weight", "score.bias": "bias"}


@dataclasses.dataclass(frozen=True)
class _Difference:
  """The second row of a tensor, less its first; read as `stored.Stored` is."""

  tensor: stored.Stored

  @property
  def shape(self) -> tuple[int, ...]:
    return (1, *self.tensor.shape[1:])

  def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
    rows = self.tensor.read().astype(np.float32)
    return (rows[1:] - rows[:1])[start:stop]


def split(
  settings: dict[str, Any], tensors: Mapping[str, stored.Stored]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
  """Return a model's settings and tensors without its head, and the head's.

  Of a language model all are as they were, and the last is empty.

  Args:
    settings: of `config.json`.
    tensors: of its files.

  Raises:
    ValueError: if the head is missing, or has more than two classes.
  """
  names = settings.get("architectures")
  name = names[0] if isinstance(names, list) and len(names) == 1 else ""
  kind = next((x for x in _KINDS if str(name).endswith(x)), None)
  if kind is None:
    return settings, dict(tensors), {}
  rest = {k: v for k, v in tensors.items() if k not in _HEAD}
  if "score.weight" not in tensors:
    raise ValueError(f"{name}: the tensor 'score.weight' is missing")
  classes = tensors["score.weight"].shape[0]
  if classes not in (1, 2):
    raise ValueError(f"{name}: a head of {classes} classes is no reward")
  head = {
    ours: tensors[theirs] if classes == 1 else _Difference(tensors[theirs])
    for theirs, ours in _HEAD.items()
    if theirs in tensors
  }
  plain = {
    k: v for k, v in settings.items() if k not in _LABELS and k not in _DROPOUTS
  }
  plain["architectures"] = [str(name).removesuffix(kind) + "ForCausalLM"]
  plain["tie_word_embeddings"] = True  # there are no logits
  return plain, rest, head
