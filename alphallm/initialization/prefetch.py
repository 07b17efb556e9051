"""Work done ahead in a thread, and how long it was waited for."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any


class Prefetch:
  """An iterator that runs ahead of who reads it.

  Attributes:
    waited: seconds that its reader has waited so far.
  """

  def __init__(self, items: Iterator[Any], *, depth: int = 2):
    """Start the thread.

    Args:
      items: without end; read in the thread alone.
      depth: how many items may be ready.
    """
    self.waited = 0.0
    self._ready: queue.Queue = queue.Queue(maxsize=depth)
    self._closed = threading.Event()
    self._thread = threading.Thread(
      target=self._run, args=(items,), daemon=True
    )
    self._thread.start()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def __iter__(self):
    return self

  def __next__(self) -> Any:
    """Return the next item; what its making raised is raised here."""
    began = time.monotonic()
    item, error = self._ready.get()
    self.waited += time.monotonic() - began
    if error is not None:
      raise error
    return item

  def close(self) -> None:
    """Stop the thread."""
    self._closed.set()
    while not self._ready.empty():
      self._ready.get()
    self._thread.join()

  def _run(self, items) -> None:
    try:
      for item in items:
        self._put((item, None))
        if self._closed.is_set():
          return
    except Exception as error:
      self._put((None, error))

  def _put(self, entry) -> None:
    while not self._closed.is_set():
      try:
        return self._ready.put(entry, timeout=0.1)
      except queue.Full:
        pass
