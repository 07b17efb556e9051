"""Traces of a running program, for TensorBoard or Perfetto."""

import pathlib

import jax


class Trace:
  """Traces some iterations with `jax.profiler`; the first process does."""

  def __init__(self, folder: pathlib.Path, first: int, count: int):
    """Say what is traced.

    Args:
      folder: where the trace goes.
      first: the first iteration that is traced.
      count: how many are; none if 0.
    """
    self._folder = folder
    self._first, self._end = first, first + count
    self._under_way = False

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._stop()

  def before(self, iteration: int) -> None:
    """Begin the trace, or end it, where it is time."""
    if iteration == self._end:
      self._stop()
    if iteration == self._first < self._end and not jax.process_index():
      jax.profiler.start_trace(self._folder)
      self._under_way = True

  def _stop(self) -> None:
    if self._under_way:
      jax.profiler.stop_trace()
      self._under_way = False
      print(f"a trace is in {self._folder}", flush=True)
