"""Documents packed into rows of one length, and where to go on from."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import chex
import numpy as np

from alphallm.initialization import documents

# So many pieces may wait for a later batch before this one is closed: the rows
# of small batches are full, too, and what waits is little to read again.
_MOST_WAITING = 16


@chex.dataclass(frozen=True)
class Batch:
  """B rows of C places; what is not filled has weight 0.

  Attributes:
    tokens: `[B, C]` int32.
    targets: `[B, C]` int32, the token that follows in the same document.
    weights: `[B, C]` float32, 1 where the target is to be learnt.
    positions: `[B, C]` int32, from 0 in each document.
    documents: `[B, C]` int32, which document of the row, from 1; 0 of none.
  """

  tokens: chex.Array
  targets: chex.Array
  weights: chex.Array
  positions: chex.Array
  documents: chex.Array


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a stream of batches stands: all that is needed to go on from it.

  Attributes:
    next: number of the next document to be read.
    waiting: pieces that were read and not yet packed, each a document's number
      and where in it the piece begins.
    left_out: documents so far that were longer than a row.
  """

  next: int = 0
  waiting: tuple[tuple[int, int], ...] = ()
  left_out: int = 0

  def to_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, saved: dict[str, Any]) -> "Place":
    waiting = tuple(map(tuple, saved["waiting"]))
    return cls(**{**saved, "waiting": waiting})


START = Place()


def batches(
  source: documents.Source,
  place: Place = START,
  *,
  batch_size: int,
  length: int,
) -> Iterator[tuple[Batch, Place]]:
  """Yield batches without end, and the place after each.

  Pieces are put, in their order, into the fullest row that has room. A text
  that is learnt from its first token to its last is cut into pieces where it
  is longer than a row; an answer that is cut off would teach nothing good, and
  such a document is left out, and counted.

  Args:
    source: where documents come from.
    place: after which batch to go on.
    batch_size: B.
    length: C.

  Raises:
    ValueError: if the source seems to hold nothing that fits.
  """
  in_vain = 0
  while True:
    rows: list[list[documents.Document]] = [[] for _ in range(batch_size)]
    room = [length] * batch_size
    number, left_out, waiting = place.next, place.left_out, []

    def put(piece, rows=rows, room=room):
      size = len(piece.tokens) - 1
      fitting = [i for i in range(batch_size) if room[i] >= size]
      if fitting:
        row = min(fitting, key=room.__getitem__)
        rows[row].append(piece)
        room[row] -= size
      return bool(fitting)

    for index, begin in place.waiting:
      document = source.read(index)
      piece = dict(_pieces(document, length))[begin]
      if not put(piece):
        waiting.append((index, begin))
    while len(waiting) < _MOST_WAITING and any(room):
      document = source.read(number)
      pieces = [] if document is None else _pieces(document, length)
      left_out += document is not None and not pieces
      in_vain = 0 if pieces else in_vain + 1
      if in_vain > 10_000:
        raise ValueError(
          f"of 10,000 documents in a row none has 2 to {length + 1} tokens"
        )
      waiting += [(number, b) for b, piece in pieces if not put(piece)]
      number += 1
    place = Place(next=number, waiting=tuple(waiting), left_out=left_out)
    yield _batch(rows, length), place


def _pieces(
  document: documents.Document, length: int
) -> list[tuple[int, documents.Document]]:
  """Return what of a document fits into rows, and where each piece begins.

  A piece has a token more than it takes places: the last is a target only.
  """
  size = len(document.tokens)
  if size < 2 or (size > length + 1 and not document.is_response.all()):
    return []
  return [
    (
      begin,
      documents.Document(
        tokens=document.tokens[begin : begin + length + 1],
        is_response=document.is_response[begin : begin + length + 1],
      ),
    )
    for begin in range(0, size - 1, length)
  ]


def _batch(rows: list[list[documents.Document]], length: int) -> Batch:
  shape = len(rows), length
  arrays = {
    field.name: np.zeros(shape, np.int32) for field in dataclasses.fields(Batch)
  }
  arrays["weights"] = np.zeros(shape, np.float32)
  for i, row in enumerate(rows):
    begin = 0
    for number, piece in enumerate(row, start=1):
      size = len(piece.tokens) - 1
      here = slice(begin, begin + size)
      arrays["tokens"][i, here] = piece.tokens[:-1]
      arrays["targets"][i, here] = piece.tokens[1:]
      arrays["weights"][i, here] = piece.is_response[1:]
      arrays["positions"][i, here] = np.arange(size)
      arrays["documents"][i, here] = number
      begin += size
  return Batch(**arrays)
