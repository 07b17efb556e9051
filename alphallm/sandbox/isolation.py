"""Programs that nobody trusts, run apart from the machine.

A program has a process, a user and namespaces of its own (see `jail`): no
network, none of the machine's files but the interpreter's and the system's
libraries, which it cannot change, no sight of other processes; and limits of
memory, processor time, processes, disk, output and time. It needs Linux, and
either root or the right of users to make namespaces. A machine that lacks them
is told so; nothing is ever run without walls.

There is no filter of system calls: what the kernel itself gets wrong is not
held up here. And a program may cheat on tests that run in its own process, by
objects that equal everything, say.
"""

import dataclasses
import json
import os
import pathlib
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from typing import Literal

_JAIL = pathlib.Path(__file__).with_name("jail.py")
_START_SECONDS = 20.0  # to build the walls, on a busy machine
_END_SECONDS = 5.0  # for the kernel to clear up what was killed


class CannotIsolate(RuntimeError):
  """This machine cannot run programs apart from itself; nothing was run."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a program may use, at most."""

  seconds: float = 5.0  # from its start to its end
  cpu_seconds: int = 5  # of the processor
  memory_bytes: int = 512 << 20  # address space of each process
  processes: int = 1  # threads too; 1: itself alone
  disk_bytes: int = 16 << 20  # in /tmp, which is memory too
  output_bytes: int = 1 << 20  # written to standard output and error


@dataclasses.dataclass(frozen=True)
class Result:
  """How a program ended.

  Attributes:
    reason: "passed": it came to its end, and nothing was raised; "failed";
      "late": its time was over; "flooded": it wrote too much.
    output: of standard output and error, as much as is allowed.
    seconds: from start to end.
  """

  reason: Literal["passed", "failed", "late", "flooded"]
  output: bytes
  seconds: float

  @property
  def passed(self) -> bool:
    return self.reason == "passed"


def run(source: str, limits: Limits = Limits()) -> Result:
  """Run a Python program, say a solution and behind it its unit tests.

  Calls may come from any thread.

  Args:
    source: its text.
    limits: what it may use.

  Raises:
    CannotIsolate: if the walls cannot be built; the program has not begun.
  """
  if sys.platform != "linux":
    raise CannotIsolate("programs are run on Linux only")
  secret = secrets.token_hex(16)
  with tempfile.TemporaryDirectory(prefix="alphallm-jail-") as root:
    ours, theirs = os.pipe()
    settings = dataclasses.asdict(limits) | {
      "report": theirs,
      "root": root,
      "python": os.path.realpath(sys.executable),
      "reads": [os.path.realpath(sys.base_prefix)],
    }
    try:
      process = subprocess.Popen(
        [settings["python"], "-I", "-S", "-B", _JAIL, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[theirs],
        env={},
      )
    except BaseException:
      os.close(ours)
      raise
    finally:
      os.close(theirs)
    request = json.dumps({"source": source, "secret": secret}).encode()
    with process, os.fdopen(ours, "rb", buffering=0) as report:
      try:
        return _watch(process, report, request, secret.encode(), limits)
      finally:
        process.kill()


def _watch(process, report, request, secret, limits) -> Result:
  """Feed the program and read what it says, until it or its time is over."""
  said, output, reason = bytearray(), bytearray(), None
  began = time.monotonic()
  deadline, ready = began + _START_SECONDS, False
  os.set_blocking(process.stdin.fileno(), False)
  with selectors.DefaultSelector() as selector:
    selector.register(report, selectors.EVENT_READ)
    selector.register(process.stdout, selectors.EVENT_READ)
    selector.register(process.stdin, selectors.EVENT_WRITE)

    def close(file):
      selector.unregister(file)
      file.close()

    while {report, process.stdout} & {
      key.fileobj for key in selector.get_map().values()
    }:
      events = selector.select(max(deadline - time.monotonic(), 0))
      for key, _ in events:
        file = key.fileobj
        if file is process.stdin:
          try:
            request = request[os.write(file.fileno(), request) :]
          except BrokenPipeError:
            request = b""
          if not request:
            close(file)
          continue
        part = os.read(file.fileno(), 1 << 16)
        if not part:
          selector.unregister(file)
        elif file is report:
          said += part[: 1024 - len(said)]
          if not ready and said.startswith(b"ready\n"):
            ready, began = True, time.monotonic()
            deadline = began + limits.seconds
        elif len(output) <= limits.output_bytes:
          output += part
      late = time.monotonic() >= deadline
      if late and not ready:
        raise CannotIsolate("the walls were not built in time")
      if late and reason:  # what was killed does not end
        break
      if not reason and (late or len(output) > limits.output_bytes):
        reason = "late" if late else "flooded"
        process.kill()
        deadline = time.monotonic() + _END_SECONDS
  seconds = time.monotonic() - began
  if not ready:
    why = (bytes(said) or bytes(output)).decode(errors="replace")
    raise CannotIsolate(
      "this machine cannot isolate programs "
      f"({' '.join(why.split())[:300]}); run as root, or allow users to make "
      "namespaces (kernel.unprivileged_userns_clone)"
    )
  if reason is None:
    passed = bytes(said) == b"ready\n" + secret
    reason = "passed" if passed else "failed"
  return Result(
    reason=reason,
    output=bytes(output[: limits.output_bytes]),
    seconds=seconds,
  )
