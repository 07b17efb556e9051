"""Tests of traces."""

import jax
import jax.numpy as jnp
import pytest

from alphallm import profiling


def run(folder, first, count, total=4):
  """Return after which iterations there were traces, and how many at last."""
  seen = []
  traces = lambda: len(list(folder.rglob("*.xplane.pb")))
  with profiling.Trace(folder, first, count) as trace:
    for iteration in range(total):
      trace.before(iteration)
      jax.block_until_ready(jnp.sin(float(iteration)))
      seen.append(traces())
  return seen, traces()


@pytest.mark.parametrize(
  "first, count, wanted",
  [
    (1, 2, ([0, 0, 0, 1], 1)),
    (2, 5, ([0, 0, 0, 0], 1)),  # the run is over before
    (1, 0, ([0, 0, 0, 0], 0)),
  ],
)
def test_so_many_iterations_are_traced(tmp_path, first, count, wanted):
  assert run(tmp_path, first, count) == wanted
