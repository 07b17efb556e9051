"""What the programs share: flags in, one line for bad input, one exit code."""

import signal
import sys
from collections.abc import Callable, Sequence

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from alphallm import checkpoint, compilation
from alphallm import config as config_lib

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


def run(
  main: Callable[[list[str]], None],
  *,
  needs: Sequence[str] = ("config", "workdir"),
  takes: int = 0,
) -> None:
  """Run a program.

  The exit code is 0; 1, with one line on standard error, for what is the
  user's to mend; 128 + the signal's number, with one line, after a signal.

  Args:
    main: takes the arguments that are no flags.
    needs: flags that must be given.
    takes: how many arguments there may be that are no flags.
  """

  def guarded(argv):
    # What Orbax tells with tracebacks, it raises too.
    logging.set_verbosity(logging.FATAL)
    if argv[1 + takes :]:
      _end(f"{argv[1 + takes]!r} is no flag; see --help")
    try:
      compilation.enable_compilation_cache()
      main(argv)
    except (config_lib.UserError, checkpoint.CheckpointError) as error:
      _end(error)
    except Stopped as error:
      _end(error, 128 + error.number)
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


def _end(message, code: int = 1) -> None:
  print(f"alphallm: {message}", file=sys.stderr, flush=True)
  sys.exit(code)
