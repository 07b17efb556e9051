"""What the programs share: flags in, one line for bad input, one exit code."""

import importlib.util
import json
import math
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from alphallm import checkpoint, compilation, hosts, tokenizer
from alphallm import config as config_lib
from alphallm.initialization import pretrained_policy
from alphallm.models import transformer

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The config of the run; see configs/."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept.")


class Stopped(Exception):
  """A signal ended the program in good order; its one line says how to go on.

  Attributes:
    number: of the signal.
  """

  def __init__(self, message: str, number: int):
    super().__init__(message)
    self.number = number


class Stop:
  """Turns SIGTERM and SIGINT into a wish to stop in good order.

  Attributes:
    wanted: the signal's number, None before one came.
  """

  def __init__(self):
    self.wanted: int | None = None
    self._handlers = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._handlers[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *unused):
    for number, handler in self._handlers.items():
      signal.signal(number, handler)

  def _handle(self, number, frame):
    del frame
    if self.wanted and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.wanted = number
    # Not by `print`, which the signal may have interrupted.
    os.write(2, b"stopping after this iteration\n")


def refuse_another_run(workdir: pathlib.Path, config) -> None:
  """Raise if the workdir holds checkpoints of a run of another config."""
  path = workdir / "config.json"
  if not (checkpoint.any_in(workdir / "checkpoints") and path.exists()):
    return
  try:
    theirs = json.loads(path.read_text())["fingerprint"]
  except (ValueError, KeyError, TypeError) as error:
    raise config_lib.UserError(f"{path} is damaged; delete it") from error
  if theirs != config_lib.fingerprint(config):
    raise config_lib.UserError(
      f"{workdir} holds a run of another config (see {path}); give another "
      "--workdir, or the config of that run"
    )


def refuse_nan(
  scalars: dict[str, float],
  place: str,
  checkpointer: checkpoint.Checkpointer,
  rate: str,
) -> None:
  """Raise if a scalar of a training is not finite; what was saved stays.

  Args:
    scalars: by their names.
    place: where in the training they were read.
    checkpointer: what saves are waited for.
    rate: the name in the config of the learning rate.

  Raises:
    UserError: one line that names the scalar, the place and what is kept.
  """
  odd = [name for name, value in scalars.items() if not math.isfinite(value)]
  if not odd:
    return
  checkpointer.wait()
  kept = checkpointer.latest_step()
  raise config_lib.UserError(
    f"{odd[0]} is {scalars[odd[0]]} at {place}; "
    + (f"checkpoint {kept} is kept" if kept else "nothing was saved")
    + f": train into another --workdir with a lower {rate}"
  )


def claim(
  workdir: pathlib.Path,
  config,
  model: transformer.PolicyValueTransformer,
  vocabulary: tokenizer.Vocabulary,
  pretrained: Any = None,
) -> None:
  """Note in the workdir what its run is made of; all processes wait for it.

  Args:
    workdir: of the run.
    config: of the run.
    model: of the run.
    vocabulary: its tokenizer.
    pretrained: the parameters of its pretrained model; `None` without one.
  """
  record = {
    "fingerprint": config_lib.fingerprint(config),
    "config": config.to_dict(),
  }
  if pretrained is not None:
    pretrained = hosts.whole(pretrained)
  try:
    if jax.process_index() == 0:
      workdir.mkdir(parents=True, exist_ok=True)
      if pretrained is None:
        vocabulary.save(workdir / "tokenizer.model")
      else:
        pretrained_policy.keep(workdir, model, pretrained, vocabulary)
      (workdir / "config.json").write_text(json.dumps(record, indent=1))
  except OSError as error:
    raise config_lib.UserError(
      f"--workdir={workdir} cannot be written ({error.strerror}); give another"
    ) from error
  hosts.agreed(True)


def run(
  main: Callable[[list[str]], None],
  *,
  needs: Sequence[str] = ("config", "workdir"),
  takes: int = 0,
  on_hosts: bool = False,
) -> None:
  """Run a program.

  The exit code is 0; 1, with one line on standard error, for what is the
  user's to mend; 128 + the signal's number, with one line, after a signal.

  Args:
    main: takes the arguments that are no flags.
    needs: flags that must be given.
    takes: how many arguments there may be that are no flags.
    on_hosts: whether it may run as several processes, one on each host.
  """
  if on_hosts:
    hosts.define_flags()

  def guarded(argv):
    # What Orbax tells with tracebacks, it raises too.
    logging.set_verbosity(logging.FATAL)
    if argv[1 + takes :]:
      _end(f"{argv[1 + takes]!r} is no flag; see --help")
    try:
      compilation.enable_compilation_cache()
      with hosts.telling_of_loss():
        if on_hosts:
          hosts.join()
        main(argv)
    except (config_lib.UserError, checkpoint.CheckpointError) as error:
      _end(error)
    except Stopped as error:
      _end(error, 128 + error.number, together=True)
    except KeyboardInterrupt:
      _end("interrupted", 128 + signal.SIGINT)
    except OSError as error:
      # A write that fails does not name its file.
      where = error.filename or f"--workdir={WORKDIR.value}"
      _end(f"{where}: {error.strerror or error}")
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      _end(f"out of memory: {str(error).splitlines()[0]}")

  flags.mark_flags_as_required(list(needs))
  app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
  """Parse the flags, and load the config that they name."""
  try:
    rest = flags.FLAGS(argv)
    is_given = flags.FLAGS["config"].present
    if is_given and not hasattr(CONFIG.value, "to_dict"):  # or none: raises
      raise TypeError("get_config() does not return a ConfigDict")
  except Exception as error:  # a config file may raise anything
    _end(_why_not_parsed(error, argv))
  return rest


def _why_not_parsed(error: Exception, argv: list[str]) -> str:
  """Return one line for what the parsing of flags and config raised."""
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  flag_is_wrong = isinstance(error, flags.Error)
  if flag_is_wrong and not any("Traceback" in line for line in lines):
    return "; ".join([*lines, "see --help"])
  last = lines[-1] if lines else ""
  named = [argument.partition("=") for argument in argv]
  for name, _, _ in named:  # ml_collections tells the last part of it alone
    if name.startswith("--config.") and last.strip("\"'") in name.split("."):
      return f"{name}: the config has no such key"
  following = [*argv[1:], ""]
  paths = [
    value or after
    for (name, _, value), after in zip(named, following, strict=True)
    if name == "--config"
  ]
  kind = "" if flag_is_wrong else f"{type(error).__name__}: "
  return f"--config={' '.join(paths)}: {kind}{last}"


def load(path: pathlib.Path, argument: str) -> Any:
  """Return the config of a file, as `--config=PATH:ARGUMENT` would.

  Raises:
    UserError: if there is none, or it refuses the argument.
  """
  spec = importlib.util.spec_from_file_location(path.stem, path)
  try:
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)
  except (ImportError, OSError, ValueError) as error:
    raise config_lib.UserError(f"{path}:{argument}: {error}") from error


def _end(message, code: int = 1, *, together: bool = False) -> None:
  print(f"alphallm: {message}", file=sys.stderr, flush=True)
  hosts.end(code, together=together)
