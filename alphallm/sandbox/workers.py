"""Child processes that answer requests, each within a deadline."""

import atexit
import json
import os
import pathlib
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

_HOME = pathlib.Path(__file__).parents[2]
_MOST_REPLY = 16 << 20  # bytes of one reply


class Late(Exception):
  """A request was not answered within its time, or ended its process."""


class Failed(Exception):
  """A request ended in an error of its own, which the one line names."""


class Workers:
  """Processes that answer by `answer(request)` of a module.

  They are started when they are first needed, and anew after one was killed.
  Calls may come from any thread.
  """

  def __init__(
    self,
    module: str,
    *,
    num_workers: int = 1,
    seconds: float = 5.0,
    start_seconds: float = 60.0,
    memory_bytes: int = 2 << 30,
  ):
    """Make the workers.

    Args:
      module: whose `answer` takes and returns what JSON can hold.
      num_workers: processes at most.
      seconds: for each request.
      start_seconds: for a process to start, before its first request.
      memory_bytes: address space of a process, where the system can limit it.
    """
    self._command = [
      *(sys.executable, "-m", "alphallm.sandbox.child"),
      *(module, str(memory_bytes)),
    ]
    self._seconds, self._start_seconds = seconds, start_seconds
    self._num_workers = num_workers
    self._idle = queue.SimpleQueue()
    for _ in range(num_workers):
      self._idle.put(None)  # a place for a process

  def ask(self, request: Any) -> Any:
    """Return the answer to a request.

    Raises:
      Late: if there was none in time.
      Failed: if it ended in an error.
      RuntimeError: if the process cannot start.
    """
    child = self._idle.get()
    keep = None
    try:
      child = child or _Child(self._command, self._start_seconds)
      reply = child.ask(request, self._seconds)
      keep = child
    finally:
      if keep is None and child is not None:
        child.kill()
      self._idle.put(keep)
    if "error" in reply:
      raise Failed(reply["error"])
    return reply["value"]

  def ask_all(
    self, requests: Sequence[Any], otherwise: Any, seconds: float
  ) -> list[Any]:
    """Return the answers to requests, side by side.

    Args:
      requests: what is asked.
      otherwise: stands where there was no answer, late or failed.
      seconds: after which nothing more is asked.

    Raises:
      RuntimeError: if a process cannot start.
    """
    answers, errors = [otherwise] * len(requests), []
    deadline = time.monotonic() + seconds
    places = iter(range(len(requests)))
    lock = threading.Lock()

    def work():
      while time.monotonic() < deadline:
        with lock:
          place = next(places, None)
        if place is None:
          return
        try:
          answers[place] = self.ask(requests[place])
        except (Late, Failed):
          pass
        except RuntimeError as error:
          errors.append(error)
          return

    threads = [
      threading.Thread(target=work)
      for _ in range(min(self._num_workers, len(requests)))
    ]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    if errors:
      raise errors[0]
    return answers


class _Child:
  """One process; it answers a request at a time."""

  def __init__(self, command: Sequence[str], start_seconds: float):
    path = [str(_HOME), *filter(None, sys.path)]  # whatever this one can import
    self._process = subprocess.Popen(
      command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    self._held = bytearray()
    atexit.register(self.kill)
    try:
      began = json.loads(self._read_line(time.monotonic() + start_seconds))
    except Late as error:
      began = {"error": str(error)}
    if "error" in began:
      self.kill()
      raise RuntimeError(f"{' '.join(command[1:4])}: {began['error']}")

  def ask(self, request: Any, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    line = json.dumps(request).encode() + b"\n"
    sender = threading.Thread(target=self._send, args=(line,), daemon=True)
    sender.start()  # a child that does not read must not hold us up
    return json.loads(self._read_line(deadline))

  def kill(self) -> None:
    atexit.unregister(self.kill)
    self._process.kill()
    self._process.wait()
    for pipe in (self._process.stdin, self._process.stdout):
      try:
        pipe.close()
      except OSError:  # what was not sent yet
        pass

  def _send(self, line: bytes) -> None:
    try:
      self._process.stdin.write(line)
      self._process.stdin.flush()
    except (OSError, ValueError):  # it was killed
      pass

  def _read_line(self, deadline: float) -> bytes:
    with selectors.DefaultSelector() as selector:
      selector.register(self._process.stdout, selectors.EVENT_READ)
      while not self._held.endswith(b"\n"):
        if not selector.select(max(deadline - time.monotonic(), 0)):
          raise Late("no answer in time")
        part = self._process.stdout.read1(1 << 16)
        if not part:
          raise Late("the process ended")
        self._held += part
        if len(self._held) > _MOST_REPLY:
          raise Late("the answer is too long")
    line = bytes(self._held)
    self._held.clear()
    return line
