"""Runs the programs as processes, forked from one that has imported them."""

import atexit
import contextlib
import importlib
import json
import multiprocessing
import os
import pathlib
import re
import resource
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import jax
import unoptimized

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = str(ROOT / "tests" / "tiny_config.py")

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
  ["alphallm.train", "alphallm.evaluate", "alphallm.solve"]
)
# Of the programs that are run otherwise than with a config and a workdir alone.
_OPTIONS = {
  "train": {"on_hosts": True},
  "finetune": {"on_hosts": True},
  "evaluate": {"on_hosts": True},
  "solve": {"needs": [], "takes": 1},
  "vocabulary": {"needs": ("corpus", "out")},
  "preflight": {"needs": ("config",)},
  "roadmap": {"needs": ("workdir",)},
  "scaling": {"needs": ("workdir",)},
}


class Ended(NamedTuple):
  """How a program ended: its exit code, standard output and error."""

  code: int
  out: str
  err: str


class Running:
  """A program under way."""

  def __init__(self, name, *args, before=None, max_file_bytes=None, devices=1):
    """Start `python -m alphallm.NAME ARGS`.

    Args:
      name: of the program.
      *args: its arguments.
      before: a function of a module, called with that of the program before it
        runs, to break something in it.
      max_file_bytes: no file can grow beyond.
      devices: made of the host's cores.
    """
    self._folder = tempfile.TemporaryDirectory()
    folder = pathlib.Path(self._folder.name)
    self.out, self.err = self._paths = folder / "out", folder / "err"
    self.process = _FORKS.Process(
      target=_program,
      args=(
        name,
        list(map(str, args)),
        self._paths,
        before,
        max_file_bytes,
        devices,
      ),
    )
    # The compiled programs are shared by all processes of the tests.
    cache = {
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
      "XLA_FLAGS": unoptimized.FLAGS,
    }
    with _environment(cache):
      self.process.start()

  def wait(self, seconds=300) -> Ended:
    self.process.join(seconds)
    assert self.process.exitcode is not None, "the program hangs"
    return Ended(self.process.exitcode, *(p.read_text() for p in self._paths))

  def wait_for_lines(self, path, count, seconds=300):
    """Wait until a file has so many lines, or the program has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and self.process.exitcode is None:
      if path.exists() and path.read_text().count("\n") >= count:
        return
      time.sleep(0.005)


def run(name, *args, **options) -> Ended:
  """Run a program to its end; see `Running`."""
  return Running(name, *args, **options).wait()


def assert_refused(ended: Ended, *words: str):
  """Check that a program ended with one line that holds the words."""
  assert ended.code == 1, ended
  lines = ended.err.strip().splitlines()
  assert len(lines) == 1 and lines[0].startswith("alphallm: "), ended.err
  for word in words:
    assert word in lines[0], lines[0]


def viewed(path):
  """Return the data of a page of trees."""
  found = re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)
  return json.loads(found[1])


@contextlib.contextmanager
def _environment(changes):
  saved = {name: os.environ.get(name) for name in changes}
  os.environ.update(changes)
  try:
    yield
  finally:
    for name, value in saved.items():
      os.environ.pop(name) if value is None else os.environ.update(
        {name: value}
      )


def _program(name, args, paths, before, max_file_bytes, devices):
  for path, number in zip(paths, (1, 2), strict=True):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  os.environ["XLA_FLAGS"] += (
    f" --xla_force_host_platform_device_count={devices}"
  )
  os.chdir(ROOT)
  sys.path.insert(0, str(ROOT))
  sys.argv = [f"{name}.py", *args]
  module = importlib.import_module(f"alphallm.{name}")
  if before is not None:
    before(module)
  if max_file_bytes is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes,) * 2)
  from alphallm import program

  try:
    program.run(module.main, **_OPTIONS.get(name, {}))
  finally:
    # What an interpreter does at its end, in its order; a fork would not.
    threading._shutdown()
    atexit._run_exitfuncs()
