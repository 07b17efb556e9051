"""Settings of all tests."""

import getpass
import os
import pathlib
import tempfile

# The tests make devices of the host's cores; JAX_PLATFORMS=cuda overrides.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import pytest  # noqa: E402
import unoptimized  # noqa: E402

from alphallm import compilation  # noqa: E402

os.environ.setdefault("XLA_FLAGS", unoptimized.FLAGS)
jax.config.update("jax_numpy_rank_promotion", "raise")
compilation.enable_compilation_cache(
  pathlib.Path(tempfile.gettempdir()) / f"alphallm-tests-{getpass.getuser()}"
)


@pytest.fixture(scope="module", autouse=True)
def let_programs_go():
  """Those of a module may go once it is done; of all there are too many."""
  yield
  compilation.let_programs_go()
