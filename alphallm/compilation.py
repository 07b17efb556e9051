"""Compiled programs: kept from one run to the next, and let go in time."""

import os
import pathlib

import jax

_MAPS = pathlib.Path("/proc/self/maps")
_MOST_MAPS = 30_000  # of the 65,530 that Linux lets a process have


def enable_compilation_cache(directory=None) -> pathlib.Path | None:
  """Keep compiled programs on disk, so that a second run starts at once.

  Call it before anything is compiled. What JAX was told by its own variables,
  `JAX_COMPILATION_CACHE_DIR` and
  `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`, stays as it is.

  Args:
    directory: where to keep them; if None, `alphallm/jax` in the user's cache
      folder (`XDG_CACHE_HOME`, else `~/.cache`).

  Returns:
    The folder in use; None where it cannot be written, and nothing is kept.
  """
  if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
  if "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
  try:
    if directory is None:
      home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
      directory = pathlib.Path(home) / "alphallm" / "jax"
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
  except (OSError, RuntimeError):  # read-only, or a user without a home
    return None
  if not os.access(directory, os.W_OK):
    return None
  jax.config.update("jax_compilation_cache_dir", str(directory))
  return directory


def let_programs_go() -> None:
  """Drop what this process has compiled, once it holds many programs.

  They are mapped into memory, each in many pieces, and a process that has more
  maps than Linux allows is ended. What is needed again comes from the cache.
  """
  if _MAPS.exists() and _MAPS.read_text().count("\n") > _MOST_MAPS:
    jax.clear_caches()
