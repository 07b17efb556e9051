"""Tests of sharding, on eight devices made of the host's cores."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from alphallm import compilation, sharding

PROGRAM = """
import functools
import jax, jax.numpy as jnp, numpy as np
from alphallm import sharding, values
from alphallm.learning import learner

sizes = lambda **axes: tuple(
  sharding.make_mesh(sharding.MeshConfig(**axes)).shape.values())
mesh = sharding.make_mesh()
assert mesh.axis_names == ("data", "fsdp", "tensor")
assert set(mesh.axis_types) == {jax.sharding.AxisType.Auto}
assert sizes() == (8, 1, 1) and sizes(fsdp=2, tensor=2) == (2, 2, 2)
for axes in {"data": 3}, {"fsdp": 3}, {"fsdp": 16}, {"data": 4, "tensor": 4}:
  try:
    sizes(**axes)
  except values.UserError as error:
    assert "do not fit 8 device(s)" in str(error)
  else:
    raise AssertionError(axes)
several = sharding.make_mesh(sharding.MeshConfig(fsdp=2, tensor=2))
assert sharding.num_parts(sharding.slots(several)) == 8
assert sharding.num_parts(sharding.batch(several)) == 4
assert sharding.num_parts(sharding.replicated(several)) == 1

# Some devices play, the others learn; what is whole goes from these to those.
learning, playing = sharding.make_meshes(sharding.MeshConfig(actors=2, fsdp=3))
assert tuple(learning.shape.values()) == (2, 3, 1) and playing.size == 2
assert {*learning.devices.flat} | {*playing.devices.flat} == {*jax.devices()}
assert sharding.make_meshes() == (mesh, mesh)
there = sharding.put({"a": np.arange(6), "b": 2}, sharding.replicated(learning))
there = sharding.copied(there, playing)
assert (there["a"] == np.arange(6)).all() and there["b"] == 2
assert there["a"].sharding == sharding.replicated(playing)
for make in sharding.make_mesh, sharding.make_meshes:
  try:
    make(sharding.MeshConfig(actors=8))
  except values.UserError as error:
    assert "config.mesh.actors=8: " in str(error)
  else:
    raise AssertionError(make)

# What is put is what it was.
there = sharding.put(
  (np.arange(16), jax.random.split(jax.random.key(3), 8)),
  sharding.slots(several))
assert (there[0] == np.arange(16)).all()
assert (there[1] == jax.random.split(jax.random.key(3), 8)).all()
assert {x.data.shape for x in there[0].addressable_shards} == {(2,)}

# A split batch gives what the whole batch gives, without a collective.
def f(params, keys, x):
  def loop(i, y):
    return jnp.tanh(y @ params) + jax.vmap(jax.random.normal)(keys)[:, None]
  return {"y": jax.lax.fori_loop(0, 3, loop, x), "keys": keys}

params = jnp.eye(4) * 0.5
keys = jax.vmap(jax.random.fold_in, (None, 0))(
  jax.random.key(0), jnp.arange(16))
x = jnp.arange(64.0).reshape(16, 4)
play = sharding.shard_self_play(f, mesh, donate_argnums=2)
split = jax.device_put((keys, x), sharding.slots(mesh))
lowered = play.lower(params, *split).compile().as_text()
for word in "all-gather", "all-reduce", "all-to-all", "collective-permute":
  assert word not in lowered, word
result = play(params, *split)
assert split[1].is_deleted()
expected = jax.jit(f)(params, keys, x)
np.testing.assert_allclose(result["y"], expected["y"], rtol=1e-6)
assert (result["keys"] == keys).all()
assert result["y"].sharding.is_equivalent_to(sharding.slots(mesh), 2)

# Of parameters that are split only these are gathered, before the loop.
play = sharding.shard_self_play(f, several)
split = jax.device_put((keys, x), sharding.slots(several))
params = jax.device_put(params, jax.sharding.NamedSharding(
  several, jax.sharding.PartitionSpec("fsdp", "tensor")))
text = play.lower(params, *split).compile().as_text()
entry = text[text.index("ENTRY"):]
gathers = [line for line in text.splitlines() if " all-gather(" in line]
assert gathers and all(line in entry for line in gathers)
assert all("gather_params" in line for line in gathers), gathers
for word in "all-reduce", "all-to-all", "collective-permute":
  assert f" {word}(" not in text, word
np.testing.assert_allclose(play(params, *split)["y"], result["y"], rtol=1e-6)

# State is born sharded: by names, or else by its largest dimension.
init = lambda: {
  "layer": {"up": {"kernel": jnp.ones((48, 1024)), "bias": jnp.ones(1024)},
            "query": {"kernel": jnp.ones((64, 33))}},
  "wide": jnp.ones((48, 1024)), "square": jnp.ones((512, 512)),
  "odd": jnp.ones((333, 333)), "step": jnp.int32(0)}
shardings = sharding.state(jax.eval_shape(init), several, min_size=2000)
state = jax.jit(init, out_shardings=shardings)()
shapes = jax.tree.map(lambda a: a.addressable_shards[0].data.shape, state)
assert shapes == {
  "layer": {"up": {"kernel": (24, 512), "bias": (1024,)},
            "query": {"kernel": (32, 33)}},
  "wide": (48, 512), "square": (512, 256), "odd": (333, 333), "step": ()
}, shapes
assert sharding.replicated(mesh).is_fully_replicated

# A part of a batch is split over all devices, as the batch is.
rows = jax.device_put(
  np.random.default_rng(0).normal(size=(32, 64)), sharding.batch(mesh))
whole = jax.device_put(jnp.ones((64, 48)) / 64, sharding.replicated(mesh))
def loss(params, x):
  return jnp.mean(jnp.square(x @ params - 1)), {}
gradient = jax.jit(
  functools.partial(learner.gradients, loss), static_argnames="parts")
_, wanted = gradient(whole, rows, parts=1)
made = gradient.lower(whole, rows, parts=4).compile()
text = made.as_text()
assert "f32[1,48]" in text and "f32[8,48]" not in text
assert " all-gather(" not in text
np.testing.assert_allclose(made(whole, rows)[1], wanted, atol=1e-6)
sharding.check_even("x", 32, sharding.batch(mesh), 4)
try:
  sharding.check_even("x", 32, sharding.batch(mesh), 8)
except values.UserError as error:
  assert "config.x=32 is no multiple of 8 x accumulate=8" in str(error)
else:
  raise AssertionError("uneven")
print("done")
"""


def test_on_eight_devices():
  flags = "--xla_force_host_platform_device_count=8"
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    cwd=pathlib.Path(__file__).parents[1],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.stdout == "done\n", result.stderr


def test_one_device_needs_no_split():
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  big = jax.ShapeDtypeStruct((1024, 1024), "float32")
  assert sharding.state(big, mesh).is_fully_replicated


def test_parameters_are_gathered_at_entry_or_by_layers():
  with pytest.raises(ValueError, match="gather='layer' and actors exclude"):
    sharding.MeshConfig(gather="layer", actors=2)
  with pytest.raises(ValueError, match="gather='never' is neither entry nor"):
    sharding.MeshConfig(gather="never")


CACHED = """
import jax, jax.numpy as jnp
from alphallm import compilation
print(compilation.enable_compilation_cache())
print(jax.jit(lambda x: jnp.sort(jnp.sin(x @ x)))(jnp.eye(8)).sum())
"""


def run_cached(environment):
  inherited = dict(os.environ)
  inherited.pop("JAX_COMPILATION_CACHE_DIR", None)
  result = subprocess.run(
    [sys.executable, "-c", CACHED],
    env=inherited
    | {"JAX_PLATFORMS": "cpu"}
    | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    | environment,
    cwd=pathlib.Path(__file__).parents[1],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.stderr == ""
  return result.stdout.splitlines()


@pytest.mark.parametrize(
  "variable, folder",
  [("XDG_CACHE_HOME", "alphallm/jax"), ("JAX_COMPILATION_CACHE_DIR", "")],
)
def test_compiled_programs_are_kept_quietly(tmp_path, variable, folder):
  first = run_cached({variable: str(tmp_path)})
  assert first[0] == str(tmp_path / folder)
  kept = sorted(p.name for p in (tmp_path / folder).glob("*-cache"))
  assert kept
  assert run_cached({variable: str(tmp_path)}) == first
  assert sorted(p.name for p in (tmp_path / folder).glob("*-cache")) == kept


def test_no_cache_where_it_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  assert compilation.enable_compilation_cache(tmp_path / "file/x") is None
