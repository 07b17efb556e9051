"""Tests of what processes of a run tell each other, on this machine."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import programs
import pytest

from alphallm import hosts

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys
from absl import flags
from alphallm import hosts
hosts.define_flags()
flags.FLAGS(sys.argv)
hosts.join()

import jax, numpy as np
from alphallm import problems, sharding, values
import tiny_config
from alphallm import config as config_lib

me = jax.process_index()
assert jax.process_count() == 2 and jax.device_count() == 4
assert hosts.agreed(me == 0) and not hosts.agreed(me == 1)
assert hosts.texts("ä" * (1 + 2 * me)) == ["ä", "äää"]
mesh = sharding.make_mesh()
assert int(hosts.Largest(mesh)(15 * me)) == 15
slots = sharding.put(np.arange(8), sharding.slots(mesh))
assert (hosts.whole(slots) == np.arange(8)).all()

# A process draws the blocks of its own slots; all have what one would draw.
problems.BLOCK, drawn = 4, []
run = config_lib.make_run(tiny_config.get_config())
sample = type(run.task).sample_numpy
def count(self, rng, num_problems, split, **options):
  drawn.append(num_problems)
  return sample(self, rng, num_problems, split, **options)
type(run.task).sample_numpy = count
stream = problems.Problems(run, mesh)
found = stream.first(), stream.of_round(3, None)
assert drawn == [4, 4, 8, 8], drawn
alone = problems.Problems(
  run, sharding.make_mesh(devices=jax.local_devices()))
wanted = alone.first(), alone.of_round(3, None)
jax.tree.map(
  np.testing.assert_array_equal, hosts.whole(found), jax.device_get(wanted))

for error in (TimeoutError("late"), RuntimeError("Gloo: closed")):
  try:
    with hosts.telling_of_loss():
      raise KeyError("a name") from error
  except values.UserError as told:
    assert hosts.GO_ON in str(told), told
print("done", flush=True)
sys.exit(me)
"""


def start(*options):
  paths = map(str, (ROOT, ROOT / "tests"))
  return subprocess.Popen(
    [sys.executable, "-c", PROGRAM, *options],
    env=os.environ
    | {
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
      "PYTHONPATH": os.pathsep.join(paths),
    },
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_two_processes():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  both = [
    start(f"--coordinator={address}", "--num_processes=2", f"--process_id={i}")
    for i in range(2)
  ]
  (out, err), (other_out, other_err) = [
    p.communicate(timeout=300) for p in both
  ]
  assert [p.returncode for p in both] == [0, 1], err + other_err
  # Gloo, too, writes where the first process does; the second one does not.
  assert "done" in out and "done" not in other_out
  assert hosts.GO_ON not in err + other_err


@pytest.mark.parametrize(
  "flags, words",
  [
    (
      ["--num_processes=2"],
      "--coordinator and --process_id must be given, too",
    ),
    (
      ["--coordinator=x:1", "--num_processes=2", "--process_id=2"],
      "process_id and num_processes must be nonnegative",
    ),
  ],
)
def test_flags_that_do_not_go_together_are_refused(flags, words):
  config = f"--config={programs.CONFIG}"
  ended = programs.run("train", config, "--workdir=/nowhere", *flags)
  programs.assert_refused(ended, words)


def test_one_process_asks_nobody():
  assert hosts.agreed(True) and not hosts.agreed(False)
  assert np.array_equal(hosts.whole(np.arange(3)), np.arange(3))
  assert hosts.texts("alone") == ["alone"]
