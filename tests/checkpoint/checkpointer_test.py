"""Tests of checkpoint: what is saved comes back, or one line says why not."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import checkpoint
from alphallm.checkpoint import seal


def make_state(seed=0):
  rng = np.random.default_rng(seed)
  return {
    "params": {
      "kernel": jnp.asarray(rng.normal(size=(16, 8)), jnp.float32),
      "scale": jnp.asarray(rng.normal(size=(5,)), jnp.bfloat16),
    },
    "opt_state": (jnp.int32(3), {"mu": jnp.full((16, 8), jnp.nan)}, ()),
    "rng_key": jax.random.key(seed),
    "keys": jax.random.split(jax.random.key(seed, impl="rbg"), 4),
    "replay": {
      "tokens": rng.integers(0, 9, (6, 3)).astype(np.int64),
      "mask": np.array([True, False]),
      "empty": jnp.zeros((0, 4)),
    },
    "iteration": jnp.uint8(7),
  }


def abstract(state):
  return jax.eval_shape(lambda: state) | {"replay": state["replay"]}


def bits(tree):
  def one(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return str(leaf.dtype), leaf.shape, bits(jax.random.key_data(leaf))
    return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()

  return jax.tree.map(one, tree)


def save_all(directory, steps, metrics=None, **options):
  with checkpoint.Checkpointer(directory, **options) as checkpointer:
    for step in steps:
      checkpointer.save(
        step,
        make_state(step),
        {"step": step},
        None if metrics is None else {"greedy": metrics[step]},
      )


def test_round_trip_is_bit_equal(tmp_path):
  state = make_state()
  save_all(tmp_path, [0])
  with checkpoint.Checkpointer(tmp_path, read_only=True) as checkpointer:
    restored = checkpointer.restore(abstract(state))
  assert bits(restored.state) == bits(state)
  assert restored.step == 0 and restored.metadata == {"step": 0}
  assert isinstance(restored.state["replay"]["tokens"], np.ndarray)
  assert restored.state["rng_key"].sharding.device_set
  np.testing.assert_array_equal(
    jax.random.bits(restored.state["keys"][2]),
    jax.random.bits(state["keys"][2]),
  )


def test_works_while_transfers_are_disallowed(tmp_path):
  state = make_state()
  with (
    jax.transfer_guard("disallow"),
    checkpoint.Checkpointer(tmp_path) as checkpointer,
  ):
    checkpointer.save(0, state)
    checkpointer.wait()
    restored = checkpointer.restore(abstract(state))
  assert bits(restored.state) == bits(state)


def test_a_donated_or_overwritten_state_is_saved_as_it_was(tmp_path):
  state = {"x": jnp.arange(1 << 20, dtype=jnp.float32), "n": np.ones(4)}
  expected = bits(state)
  clear = jax.jit(lambda x: x * 0, donate_argnums=0)
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(0, state)
    clear(state["x"]).block_until_ready()
    state["n"][:] = 0
    checkpointer.wait()
    wanted = {"x": jax.ShapeDtypeStruct((1 << 20,), jnp.float32)}
    restored = checkpointer.restore(wanted | {"n": np.zeros(4)})
  assert bits(restored.state) == expected


def test_restores_onto_a_sharding(tmp_path):
  state = {"x": jnp.arange(8.0), "key": jax.random.split(jax.random.key(1), 2)}
  mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
  sharding = jax.NamedSharding(mesh, jax.P("data"))
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
  )
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(0, state)
    checkpointer.wait()
    restored = checkpointer.restore(wanted).state
  assert restored["x"].sharding == sharding
  assert restored["key"].sharding.is_equivalent_to(sharding, 1)
  assert bits(restored) == bits(state)


def test_keeps_the_last_and_the_best(tmp_path):
  metrics = [0.1, 0.9, 0.2, float("nan"), 0.3, 0.4]
  save_all(tmp_path, range(6), metrics, keep=2, best="greedy")
  with checkpoint.Checkpointer(tmp_path, best="greedy") as checkpointer:
    assert checkpointer.steps() == [1, 4, 5]
    assert checkpointer.latest_step() == 5
    assert checkpointer.best_step() == 1
    wanted = abstract(make_state())
    assert checkpointer.restore(wanted, "best").metadata == {"step": 1}
    assert checkpointer.metadata() == {"step": 5}
    assert checkpointer.metadata(4) == {"step": 4}


def test_restores_a_part(tmp_path):
  state = make_state()
  save_all(tmp_path, [0])
  wanted = {"params": abstract(state)["params"]}
  with checkpoint.Checkpointer(tmp_path, read_only=True) as checkpointer:
    restored = checkpointer.restore(wanted, partial=True)
    assert bits(restored.state) == bits({"params": state["params"]})
    with pytest.raises(checkpoint.CheckpointError, match="not in the state"):
      checkpointer.restore(wanted)


def test_a_step_is_replaced_and_an_older_one_refused(tmp_path):
  save_all(tmp_path, [1, 2])
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    checkpointer.save(2, {"x": jnp.ones(3)})
    checkpointer.wait()
    assert checkpointer.steps() == [1, 2]
    assert bits(checkpointer.restore({"x": jnp.zeros(3)}).state["x"]) == bits(
      jnp.ones(3)
    )
    with pytest.raises(
      checkpoint.CheckpointError, match="step 2, after step 1"
    ):
      checkpointer.save(1, {"x": jnp.ones(3)})


def test_tells_of_what_is_not_there(tmp_path):
  with pytest.raises(checkpoint.CheckpointError, match="does not exist; train"):
    checkpoint.Checkpointer(tmp_path / "none", read_only=True)
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.latest_step() is None
    for restore in checkpointer.restore, checkpointer.restore_newest_whole:
      with pytest.raises(checkpoint.CheckpointError, match="train first"):
        restore({})
  save_all(tmp_path, [3])
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    with pytest.raises(checkpoint.CheckpointError, match="there are steps 3"):
      checkpointer.restore({}, 4)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"iteration": jnp.zeros(3)}, r"iteration is uint8\[\] .* float32\[3\]"),
    ({"rng_key": jax.random.key(0, impl="rbg")}, r"rng_key is key<fry>"),
    ({"more": jnp.zeros(3)}, "more is not in it"),
  ],
)
def test_tells_of_another_config(tmp_path, change, message):
  save_all(tmp_path, [0])
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    with pytest.raises(checkpoint.CheckpointError, match=message) as error:
      checkpointer.restore(abstract(make_state()) | change)
  assert "\n" not in str(error.value)


def state_files(directory, step):
  files = [f for f in (directory / str(step)).rglob("*") if f.is_file()]
  return sorted(files)


def delete(path):
  path.unlink()


def truncate(path):
  os.truncate(path, path.stat().st_size // 2)


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 0x55
  path.write_bytes(content)


@pytest.mark.parametrize("damage", [delete, truncate, flip])
def test_no_damage_is_silent(tmp_path, damage, capfd):
  save_all(tmp_path, [1, 2])
  wanted = abstract(make_state())
  for path in state_files(tmp_path, 2):
    if path.name == seal.NAME or not path.stat().st_size:
      continue
    whole = path.read_bytes()
    damage(path)
    with checkpoint.Checkpointer(tmp_path, read_only=True) as checkpointer:
      with pytest.raises(
        checkpoint.DamagedCheckpointError,
        match="step 2 .* is damaged: .* step 1 is there too",
      ) as error:
        checkpointer.restore(wanted)
      assert "\n" not in str(error.value)
      with pytest.raises(checkpoint.DamagedCheckpointError):
        checkpointer.metadata()
      assert checkpointer.restore(wanted, 1).metadata == {"step": 1}
    path.write_bytes(whole)
  assert not capfd.readouterr().err


def test_falls_back_aloud_to_the_newest_whole_one(tmp_path, capfd):
  save_all(tmp_path, [1, 2, 3], keep=3)
  for step in 2, 3:
    delete(state_files(tmp_path, step)[-1])
  wanted = abstract(make_state())
  with checkpoint.Checkpointer(tmp_path, read_only=True) as checkpointer:
    assert checkpointer.restore_newest_whole(wanted).step == 1
    assert checkpointer.latest_step() == 3
  assert capfd.readouterr().err.count("is damaged") == 2
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.restore_newest_whole(wanted).step == 1
    assert checkpointer.steps() == [1]
    checkpointer.save(2, make_state(2))
    checkpointer.wait()
    assert checkpointer.restore_newest_whole(wanted).step == 2
  assert (tmp_path / "3.damaged").is_dir()
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    for step in 1, 2:
      delete(state_files(tmp_path, step)[-1])
    with pytest.raises(checkpoint.DamagedCheckpointError, match="step 2"):
      checkpointer.restore_newest_whole(wanted)


def test_what_is_half_written_is_ignored(tmp_path):
  save_all(tmp_path, [1])
  half = tmp_path / "2.orbax-checkpoint-tmp"
  half.mkdir()
  (half / "state").mkdir()
  wanted = abstract(make_state())
  with checkpoint.Checkpointer(tmp_path, read_only=True) as checkpointer:
    assert checkpointer.restore(wanted).step == 1
  assert half.exists()
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.restore(wanted).step == 1
  assert not half.exists()


def run(program, *arguments):
  return subprocess.Popen(
    [sys.executable, "-c", program, *map(str, arguments)],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    cwd=pathlib.Path(__file__).parents[2],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


FULL_DISK = """
import resource, sys
import jax.numpy as jnp, numpy as np
from alphallm import checkpoint
noise = np.random.default_rng(0).normal(size=1 << 18).astype(np.float32)
with checkpoint.Checkpointer(sys.argv[1]) as checkpointer:
  checkpointer.save(1, {"x": jnp.zeros(4)}, {"a": 1})
  checkpointer.wait()
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, -1))
  for attempt in range(2):
    try:
      checkpointer.save(2, {"x": jnp.asarray(noise)})
      checkpointer.wait()
    except checkpoint.CheckpointError as error:
      print(error)
  resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
  print(checkpointer.restore({"x": jnp.ones(4)}).step)
  checkpointer.save(2, {"x": jnp.asarray(noise)})
"""


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
  output, errors = run(FULL_DISK, tmp_path).communicate(timeout=120)
  lines = output.splitlines()
  assert len(lines) == 3, output + errors
  for line in lines[:2]:
    assert "step 2 could not be written" in line
    assert "that of step 1 is kept; free space" in line
  assert lines[2] == "1"
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    assert checkpointer.steps() == [1, 2]


KILLED = """
import sys
import jax.numpy as jnp, numpy as np
from alphallm import checkpoint
checkpointer = checkpoint.Checkpointer(sys.argv[1])
for step in range(1000):
  checkpointer.save(step, {"x": jnp.full(1 << 21, step, jnp.float32)})
  print(step, flush=True)
"""


@pytest.mark.parametrize(
  "delay",
  [0.0, 0.03]
  + [pytest.param(n / 100, marks=pytest.mark.slow) for n in range(2, 13, 2)],
)
def test_a_killed_writer_leaves_a_whole_checkpoint(tmp_path, delay):
  process = run(KILLED, tmp_path)
  for line in process.stdout:
    if int(line) == 2:
      break
  time.sleep(delay)
  process.send_signal(signal.SIGKILL)
  started = [2, *map(int, process.communicate(timeout=60)[0].split())][-1]
  with checkpoint.Checkpointer(tmp_path) as checkpointer:
    restored = checkpointer.restore({"x": jnp.zeros(1 << 21)})
  # A save that has begun tells that the one before it is whole.
  assert restored.step in (started - 1, started, started + 1)
  assert (np.asarray(restored.state["x"]) == restored.step).all()
