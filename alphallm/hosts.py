"""The processes of a run: one on each host, or one alone."""

import atexit
import contextlib
import os
import subprocess
import sys
import warnings
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.experimental import multihost_utils

from alphallm import sharding, values

# After so long without a sign of life a process counts as lost.
HEARTBEAT_SECONDS = 30

GO_ON = "the same command on all hosts goes on from the last checkpoint"

_NAMES = "coordinator", "num_processes", "process_id"


def define_flags() -> None:
  """Define the flags of a program that runs on several hosts at once."""
  flags.DEFINE_string(
    "coordinator",
    None,
    "ADDRESS:PORT of process 0. A TPU pod, Slurm and Open MPI tell it; else "
    "give it with --num_processes and --process_id, or run one process.",
  )
  flags.DEFINE_integer("num_processes", None, "Of the run.", lower_bound=1)
  flags.DEFINE_integer("process_id", None, "From 0 on.", lower_bound=0)


def join() -> None:
  """Meet the other processes of the run, if there are any.

  Call it before anything that asks JAX for devices. Only process 0 prints from
  here on. If a process dies, the others end within two `HEARTBEAT_SECONDS`,
  with one line; before all have met they wait for it, for five minutes.

  Raises:
    UserError: if the flags do not go together, or the others are not met.
  """
  given = {name: flags.FLAGS[name].value for name in _NAMES}
  missing = [f"--{name}" for name, value in given.items() if value is None]
  if 0 < len(missing) < len(given):
    raise values.UserError(f"{' and '.join(missing)} must be given, too")
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  # Its handler of SIGTERM would take the place of `program.Stop`, or be taken.
  jax.config.update("jax_enable_preemption_service", False)
  try:
    with warnings.catch_warnings(action="ignore"):
      jax.distributed.initialize(
        coordinator_address=given["coordinator"],
        num_processes=given["num_processes"],
        process_id=given["process_id"],
        cluster_detection_method=None if missing else "deactivate",
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=HEARTBEAT_SECONDS,
      )
  except ValueError as error:
    if missing and "JAX_COORDINATOR_ADDRESS" not in os.environ:
      return  # no cluster is known: one process alone
    raise values.UserError(f"--coordinator: {error}") from error
  except RuntimeError as error:
    raise values.UserError(
      f"the other processes were not met: {str(error).splitlines()[0]}"
    ) from error
  _watch()
  if jax.process_index():
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _watch() -> None:
  """Have one line said if this process ends in disorder.

  JAX ends a process that has lost another by SIGABRT, which nothing in it
  survives; so it is said by a process of its own, which waits for this one.
  """
  line = (
    f"alphallm: process {jax.process_index()} of {jax.process_count()} was "
    f"killed, or ended because it lost another; {GO_ON}"
  )
  watcher = subprocess.Popen(
    ["sh", "-c", 'read -r word || echo "$0" >&2', line],
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    start_new_session=True,  # signals of the terminal are not for it
  )
  _watchers.append(watcher)
  atexit.register(_dismiss_watchers)


_watchers: list[subprocess.Popen] = []


def _dismiss_watchers() -> None:
  while _watchers:
    _watchers.pop().communicate(b"ended\n")


def end(code: int, *, together: bool = False) -> NoReturn:
  """Exit.

  Args:
    code: of the exit.
    together: whether all processes do; else this one does not wait for them.
  """
  if jax.distributed.is_initialized() and not together:
    _dismiss_watchers()
    sys.stdout.flush()
    os._exit(code)  # JAX would wait for all to come to an end
  sys.exit(code)


@contextlib.contextmanager
def telling_of_loss():
  """Say in one line that another process is gone, where an error comes of it.

  Raises:
    UserError: that line.
  """
  try:
    yield
  except Exception as error:
    if not (jax.distributed.is_initialized() and _is_of_loss(error)):
      raise
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise values.UserError(
      f"another process was lost ({reason}); {GO_ON}"
    ) from error


def _is_of_loss(error: BaseException | None) -> bool:
  """Return whether an error, or one that it came of, is of collectives."""
  words = "Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "heartbeat"
  while error is not None:
    if isinstance(error, TimeoutError):  # of a checkpoint of all
      return True
    if any(word in str(error) for word in words):
      return True
    error = error.__cause__ or error.__context__
  return False


def agreed(value: bool) -> bool:
  """Return what process 0 says, in all of them; they wait for each other."""
  if jax.process_count() == 1:
    return value
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(value)))


def texts(text: str) -> list[str]:
  """Return a text of each process, by its index; they wait for each other."""
  if jax.process_count() == 1:
    return [text]
  data = text.encode()
  sizes = multihost_utils.process_allgather(np.asarray(len(data)))
  padded = np.frombuffer(data.ljust(sizes.max()), np.uint8)
  rows = multihost_utils.process_allgather(padded)
  return [
    row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)
  ]


def whole(tree: Any) -> Any:
  """Return arrays that may be spread over processes as NumPy arrays."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)


class Largest:
  """The largest of a number that each process has, without waiting for it."""

  def __init__(self, mesh: jax.sharding.Mesh):
    self._each = sharding.slots(mesh)
    self._max = jax.jit(jnp.max, out_shardings=sharding.replicated(mesh))

  def __call__(self, number: int) -> jax.Array:
    """Return it, `[]` int32, still being computed; all processes ask."""
    own = np.full(self._each.mesh.size, number, np.int32)
    return self._max(sharding.put(own, self._each))
