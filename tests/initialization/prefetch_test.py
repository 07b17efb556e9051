"""Tests of work done ahead."""

import itertools
import time

import pytest

from alphallm.initialization import prefetch


def test_items_come_in_order_and_ahead():
  made = []

  def items():
    for i in itertools.count():
      made.append(i)
      yield i

  with prefetch.Prefetch(items(), depth=3) as stream:
    assert [next(stream) for _ in range(5)] == list(range(5))
    deadline = time.monotonic() + 10
    while len(made) < 8 and time.monotonic() < deadline:
      time.sleep(0.01)
    assert 8 <= len(made) <= 9  # no further ahead
  ahead = len(made)
  time.sleep(0.05)
  assert len(made) == ahead  # closed


def test_waiting_is_counted():
  def slow():
    while True:
      time.sleep(0.05)
      yield 0

  with prefetch.Prefetch(slow(), depth=1) as stream:
    before = stream.waited
    for _ in range(3):
      next(stream)
    assert stream.waited - before > 0.05


def test_errors_are_raised_where_it_is_read():
  def broken():
    yield 1
    raise ValueError("no more")

  with prefetch.Prefetch(broken()) as stream:
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
      next(stream)
