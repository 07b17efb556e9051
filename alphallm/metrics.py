"""What a run tells of itself: scalars, progress, and a summary at its end."""

import dataclasses
import json
import math
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
import numpy as np
import tensorboardX

_PACKAGES = (
  "alphallm",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "mctx",
  "orbax-checkpoint",
  "numpy",
)


class MetricWriter:
  """Writes scalars to TensorBoard event files and to `metrics.jsonl`.

  Of several processes only the first writes.
  """

  def __init__(self, workdir, *, restored_step: int | None = None):
    """Open the metrics of a run.

    Args:
      workdir: the folder for the event files and `metrics.jsonl`.
      restored_step: the step of the checkpoint from which the run goes on: what
        was written beyond it is dropped, and comes again. None for a run from
        the start, which drops all.
    """
    self._last_step = -1 if restored_step is None else restored_step
    self._file = None
    if jax.process_index() != 0:
      return
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "metrics.jsonl"
    _keep_lines(path, self._last_step)
    self._file = path.open("a")
    self._events = tensorboardX.SummaryWriter(
      logdir=str(workdir), purge_step=self._last_step + 1
    )

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def write(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Write the scalars of a step; each step is written once.

    Args:
      step: greater than the step of the call before.
      scalars: numbers, or arrays of one element, by name. One that is not
        finite becomes null in `metrics.jsonl`.
    """
    if step <= self._last_step:
      raise ValueError(f"step {step} comes after step {self._last_step}")
    self._last_step = step
    if self._file is None:
      return
    values = {
      name: np.asarray(value).item()
      for name, value in jax.device_get(dict(scalars)).items()
    }
    self._file.write(_dump({"step": step, **values}) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(name, value, step)
    self._events.flush()

  def close(self) -> None:
    if self._file is not None:
      self._file.close()
      self._events.close()
      self._file = None


def read_metrics(workdir) -> list[dict[str, Any]]:
  """Return the lines of `metrics.jsonl`, a dictionary for each step."""
  return list(_lines(pathlib.Path(workdir) / "metrics.jsonl"))


def _lines(path):
  for line in path.read_text().splitlines():
    try:
      yield json.loads(line)
    except json.JSONDecodeError:
      pass  # the last line of a process that was killed while writing it


def _keep_lines(path, last_step):
  """Drop the lines after a step from a file, if there is one."""
  if not path.exists():
    return
  kept = [line for line in _lines(path) if line["step"] <= last_step]
  unfinished = path.with_suffix(".tmp")
  unfinished.write_text("".join(_dump(line) + "\n" for line in kept))
  unfinished.replace(path)


class Progress:
  """Tells how far a long work is, and how long it will take yet.

  On a terminal one line is written over; elsewhere a line comes at intervals.
  Of several processes only the first tells.
  """

  def __init__(
    self,
    total: int,
    label: str,
    *,
    stream=None,
    interval: float | None = None,
    clock=time.monotonic,
  ):
    """Start the clock.

    Args:
      total: how many units the work has.
      label: what is being done, in a word or two.
      stream: where to write; standard error if None.
      interval: seconds between two writes; 0.2 on a terminal and 20 elsewhere
        if None.
      clock: returns the time in seconds.
    """
    self._total = total
    self._label = label
    self._stream = sys.stderr if stream is None else stream
    self._tty = self._stream.isatty()
    self._interval = interval
    if interval is None:
      self._interval = 0.2 if self._tty else 20.0
    self._clock = clock
    self._start = self._written = clock()
    self._first: tuple[float, int] | None = None
    self._width = 0
    self._open = False

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def update(self, done: int, note: str = "") -> None:
    """Tell that `done` units of the total are done.

    Args:
      done: from 0 to the total. The estimate leaves out the time until the
        first call, in which programs are compiled.
      note: a few words for the end of the line.
    """
    now = self._clock()
    if self._first is None:
      self._first = (now, done)
    if now - self._written < self._interval and done < self._total:
      return
    if jax.process_index() != 0:
      return
    self._written = now
    line = (
      f"{self._label}: {done}/{self._total}, {_duration(now - self._start)}"
    )
    first, first_done = self._first
    if first_done < done < self._total:
      left = (now - first) / (done - first_done) * (self._total - done)
      line += f", {_duration(left)} left"
    line += f", {note}" if note else ""
    if self._tty:
      self._stream.write("\r" + line.ljust(self._width))
      self._width = len(line)
      self._open = True
    else:
      self._stream.write(line + "\n")
    self._stream.flush()

  def close(self) -> None:
    """End the line on a terminal."""
    if self._open:
      self._stream.write("\n")
      self._stream.flush()
      self._open = False


def _duration(seconds):
  seconds = round(seconds)
  minutes, seconds = divmod(seconds, 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes:02d} min"
  return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def write_summary(
  workdir,
  figures: Mapping[str, Any],
  *,
  program: str,
  config: Any = None,
  seeds: Any = None,
) -> pathlib.Path:
  """Write `summary.json`: the figures of a run, and how they came about.

  The figures of all programs that ran in this workdir are plain keys; beside
  them stand command, config, seeds, versions, device and commit of the last
  one. `programs` holds the same of each program apart, so that a second run of
  a program replaces its own figures and no others.

  Args:
    workdir: the folder of the run.
    figures: numbers, strings, lists or dictionaries by name.
    program: the name of the program, such as `"train"`.
    config: a `ConfigDict`, a dataclass or a dictionary.
    seeds: the seed, or the seeds by name.

  Returns:
    The path of the file.
  """
  path = pathlib.Path(workdir) / "summary.json"
  context = {"program": program, **_context(config, seeds)}
  taken = {*context, "programs"} & set(figures)
  if taken:
    raise ValueError(f"a figure cannot be named {', '.join(sorted(taken))}")
  programs = {}
  if path.exists():
    try:
      programs = json.loads(path.read_text()).get("programs", {})
    except ValueError:
      pass  # not a summary: replaced
  programs.pop(program, None)
  programs[program] = {"figures": dict(figures), **context}
  summary = {}
  for record in programs.values():
    summary |= record["figures"]
  summary |= context | {"programs": programs}
  return write_json(path, summary)


def write_json(path: pathlib.Path, value: Any) -> pathlib.Path:
  """Write a value, whole or not at all; the first process does.

  Args:
    path: of the file.
    value: as JSON knows it; what is not finite becomes null.
  """
  if jax.process_index() == 0:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(_dump(value, indent=2) + "\n")
    unfinished.replace(path)
  return path


def _context(config, seeds):
  return {
    "command": shlex.join([pathlib.Path(sys.executable).name, *sys.argv]),
    "config": config,
    "seeds": seeds,
    "versions": {"python": platform.python_version()}
    | {name: _version(name) for name in _PACKAGES},
    "device": {
      "kind": jax.devices()[0].device_kind,
      "platform": jax.default_backend(),
      "count": jax.device_count(),
      "processes": jax.process_count(),
    },
    "commit": _commit(),
    "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
  }


def _version(package):
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:
    return None


def _commit():
  """Return the commit that this file is of, `-dirty` behind it if changed."""
  here = pathlib.Path(__file__).resolve()

  def git(*arguments):
    return subprocess.run(
      ["git", "-C", str(here.parent), *arguments],
      capture_output=True,
      text=True,
      check=True,
      timeout=30,
    ).stdout.strip()

  try:
    git("ls-files", "--error-unmatch", here.name)
    return git(
      "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"
    )
  except (OSError, subprocess.SubprocessError):
    return None


def _dump(value, **options):
  return json.dumps(_plain(value), allow_nan=False, **options)


def _plain(value):
  """Return a value as JSON knows it; what is not finite becomes None."""
  if hasattr(value, "to_dict"):
    value = value.to_dict()
  elif dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = dataclasses.fields(value)
    value = {field.name: getattr(value, field.name) for field in fields}
  elif isinstance(value, np.ndarray | np.generic | jax.Array):
    value = np.asarray(value).tolist()
  if isinstance(value, Mapping):
    return {str(name): _plain(item) for name, item in value.items()}
  if isinstance(value, list | tuple | set | frozenset):
    return [_plain(item) for item in value]
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if value is None or isinstance(value, bool | int | str):
    return value
  return str(value)
