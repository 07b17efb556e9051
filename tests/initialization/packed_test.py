"""Tests of packing: nothing is lost or mixed, and it goes on exactly."""

import itertools
import json

import jax
import numpy as np
import pytest

from alphallm.initialization import documents, packed


class Numbers:
  """Document i has the tokens 100 i, 100 i + 1, …; its first 2 are a prompt."""

  def __init__(self, sizes, all_response=False):
    self.sizes, self.prompt = sizes, 0 if all_response else 2

  def read(self, index):
    size = self.sizes[index % len(self.sizes)]
    if not size:
      return None
    tokens = 100 * (index + 1) + np.arange(size, dtype=np.int32)
    return documents.Document(
      tokens=tokens, is_response=np.arange(size) >= self.prompt
    )


SIZES = [5, 9, 0, 3, 7, 2, 16, 4, 8]
OPTIONS = {"batch_size": 3, "length": 16}


def take(source, count, place=packed.START, **options):
  return list(
    itertools.islice(packed.batches(source, place, **OPTIONS | options), count)
  )


def pieces(batches):
  """Return the documents in batches: inputs, targets, weights, positions."""
  found = []
  for batch, _ in batches:
    for row in range(batch.tokens.shape[0]):
      numbers = batch.documents[row]
      for number in range(1, numbers.max() + 1):
        here = numbers == number
        assert (np.diff(np.flatnonzero(here)) == 1).all()
        found.append(
          tuple(
            getattr(batch, name)[row, here].tolist()
            for name in ("tokens", "targets", "weights", "positions")
          )
        )
      assert not batch.weights[row, numbers == 0].any()
  return found


def test_every_document_is_packed_once():
  batches = take(Numbers(SIZES), 6)
  found = sorted(pieces(batches))
  source, last = Numbers(SIZES), batches[-1][1]
  waiting = {index for index, _ in last.waiting}
  wanted = []
  for index in range(last.next):
    document = source.read(index)
    if document is None or index in waiting:
      continue
    tokens = document.tokens.tolist()
    n = len(tokens) - 1
    weights = [float(i >= 1) for i in range(n)]
    wanted.append((tokens[:-1], tokens[1:], weights, list(range(n))))
  assert found == sorted(wanted)
  assert last.left_out == 0
  filled = np.mean([batch.documents > 0 for batch, _ in batches])
  assert filled > 0.9


def test_it_goes_on_from_any_batch():
  source = Numbers(SIZES)
  batches = take(source, 8)
  for i in (0, 3, 6):
    saved = json.loads(json.dumps(batches[i][1].to_json()))
    place = packed.Place.from_json(saved)
    assert place == batches[i][1]
    for (a, _), (b, _) in zip(
      take(source, 7 - i, place), batches[i + 1 :], strict=True
    ):
      jax.tree.map(np.testing.assert_array_equal, a, b)


def test_long_answers_are_left_out_and_counted():
  batches = take(Numbers([5, 40, 6]), 2)
  assert batches[-1][1].left_out > 2
  assert max(len(tokens) for tokens, *_ in pieces(batches)) == 5


def test_long_texts_are_cut():
  source = Numbers([40], all_response=True)
  found = sorted(pieces(take(source, 4)))
  assert [len(tokens) for tokens, *_ in found[:3]] == [16, 16, 7]
  for i in range(2):
    joined = sum((x[0] for x in found[3 * i : 3 * i + 3]), [])
    assert joined == list(range(100 * (i + 1), 100 * (i + 1) + 39))
    assert all(w == 1 for x in found for w in x[2])


def test_what_holds_nothing_is_refused():
  for size in (0, 1, 40):
    with pytest.raises(ValueError, match="none has 2 to 17 tokens"):
      take(Numbers([size]), 1)
