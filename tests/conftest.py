"""Settings of all tests."""

import getpass
import os
import pathlib
import tempfile

# The tests make devices of the host's cores; JAX_PLATFORMS=cuda overrides.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import pytest  # noqa: E402

from alphallm import compilation  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
compilation.enable_compilation_cache(
  pathlib.Path(tempfile.gettempdir()) / f"alphallm-tests-{getpass.getuser()}"
)


_MAPS = pathlib.Path("/proc/self/maps")


@pytest.fixture(scope="module", autouse=True)
def let_programs_go():
  """Drop what modules have compiled, once it is much.

  Programs are mapped into memory, and Linux lets a process have 65,530 maps:
  those of the whole suite would be nearly as many.
  """
  yield
  if _MAPS.exists() and _MAPS.read_text().count("\n") > 30_000:
    jax.clear_caches()
