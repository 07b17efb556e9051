"""What the programs share: flags in, one line for bad input, one exit code."""

import sys
from collections.abc import Callable, Sequence

import jax
from absl import app, flags, logging

from alphallm import checkpoint, compilation
from alphallm import config as config_lib


def run(main: Callable[[list[str]], None], *, required: Sequence[str]) -> None:
  """Run a program; what is the user's to mend ends in one line and exit 1.

  Args:
    main: takes the arguments that are no flags.
    required: names of flags that must be given.
  """

  def guarded(argv):
    logging.set_verbosity(logging.WARNING)
    try:
      compilation.enable_compilation_cache()
      main(argv)
    except (config_lib.UserError, checkpoint.CheckpointError) as error:
      sys.exit(f"alphallm: {error}")
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      sys.exit(f"alphallm: out of memory: {str(error).splitlines()[0]}")

  for name in required:
    flags.mark_flag_as_required(name)
  app.run(guarded)
