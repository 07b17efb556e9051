"""Documents to learn from: tokens, and which of them are to be learnt."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Document:
  """A text of n tokens.

  Attributes:
    tokens: `[n]` int32.
    is_response: `[n]` bool, which of them the model is to write itself; all of
      a text without a prompt.
  """

  tokens: np.ndarray
  is_response: np.ndarray


class Source(Protocol):
  """Documents by number, without end: the same one whenever it is asked for."""

  def read(self, index: int) -> Document | None:
    """Return the document of a number from 0; None if it has none."""


@dataclasses.dataclass(frozen=True)
class Part:
  """Every n-th document of a source, from one on."""

  source: Source
  first: int
  every: int

  def read(self, index: int) -> Document | None:
    return self.source.read(self.first + index * self.every)


def of(*parts: tuple[Sequence[int], bool]) -> Document:
  """Return a document from its parts: tokens, and whether they are learnt."""
  return Document(
    tokens=np.concatenate([np.asarray(ids, np.int32) for ids, _ in parts]),
    is_response=np.concatenate([np.full(len(ids), r) for ids, r in parts]),
  )
