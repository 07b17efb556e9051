"""Searches and gradients over split parameters, on eight devices."""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import toy_task
import trees
import unoptimized

from alphallm import parts, sharding
from alphallm import search as strategies
from alphallm.compiled import hlo, topology, work
from alphallm.models import transformer
from alphallm.search import play, tree_search

B, MOVES = 32, 1
TASK = toy_task.Walk("append", max_steps=3)
SHAPE = random_transformer.shape(
  32,
  TASK.vocab_size,
  num_layers=2,
  num_kv_heads=2,
  mlp_dim=256,
  mlp="relu2",
  tie_embeddings=False,
)
SEARCH = tree_search.SearchConfig(
  num_simulations=3, num_candidates=2, max_depth=2, shrink=1
)
SEARCHES = {
  "pages": SEARCH,
  "carried": dataclasses.replace(SEARCH, shrink=0, carry_over=True, width=2),
  "rollouts": dataclasses.replace(SEARCH, rollout_steps=2, cache="recompute"),
}


def program(name, apply_fn):
  """Return what is played, `(params, keys, problems)`."""
  if name not in SEARCHES:
    return getattr(strategies, name)(apply_fn, TASK)

  def solve(params, keys, problems):
    return play.solve(
      apply_fn, TASK, SEARCHES[name], params, keys, problems, max_moves=MOVES
    )

  return solve


def plays_on_eight_devices(name):
  """Play with parameters gathered at entry and by layers, and compare."""
  assert jax.device_count() == 8
  mesh = sharding.make_mesh(sharding.MeshConfig(fsdp=2, tensor=2))
  apply_fn, params = random_transformer.make(SHAPE, scale=0.3)
  places = sharding.state(params, mesh, min_size=64)
  params = jax.device_put(params, places)
  problems = TASK.sample_numpy(np.random.default_rng(0), B)
  keys = jax.random.split(jax.random.key(0), B)
  batch = jax.device_put((keys, problems), sharding.slots(mesh))
  found, temporaries = [], []
  for split in (None, places):
    made = (
      sharding.shard_self_play(
        program(name, apply_fn),
        mesh,
        parts=split,
        compiler_options=unoptimized.jit.keywords["compiler_options"],
      )
      .lower(params, *batch)
      .compile()
    )
    found.append(jax.tree.map(np.asarray, made(params, *batch)))
    temporaries.append(made.memory_analysis().temp_size_in_bytes)
  trees.assert_near(*found)
  whole = sum(x.nbytes for x in jax.tree.leaves(params))
  print(f"{temporaries} bytes of temporaries, {whole} of parameters")
  assert temporaries[0] - temporaries[1] > whole / 4, (temporaries, whole)
  of_it = re.compile(rf" ({'|'.join(work.COLLECTIVES)})(-start)?\(")
  lines = [x for x in made.as_text().splitlines() if of_it.search(x)]
  names = "gather_params", "goes_on_anywhere"
  for line in lines:
    assert any(name in line for name in names), line
  bits = [line for line in lines if names[1] in line]
  # One, or one for each of the rows that a loop is mapped over.
  is_bit = re.compile(r" pred\[\d*\](\{0\})? all-reduce\(")
  assert bits and all(is_bit.search(line) for line in bits), bits


def gradients_on_eight_devices(remat, scan):
  """Differentiate with split parameters collected by layers, and compare."""
  assert jax.device_count() == 8
  mesh = sharding.make_mesh(sharding.MeshConfig(fsdp=4, tensor=2))
  shape = dataclasses.replace(SHAPE, remat=remat)
  apply_fn, params = random_transformer.make(shape, scale=0.3)
  places = sharding.state(params, mesh, min_size=64)
  model = transformer.PolicyValueTransformer(shape)
  learning = transformer.learning(model, bool(scan))
  collecting = sharding.collecting(learning, mesh, min_size=64)
  tokens = np.arange(16 * 12).reshape(16, 1, 12) % SHAPE.vocab_size
  positions = np.broadcast_to(np.arange(12), tokens.shape)

  def loss(apply_fn, params):
    output = apply_fn(params, tokens, positions)
    return jnp.mean(jnp.square(output.logits)) + jnp.mean(output.value_logits)

  def moved(params, tokens):
    """Return the loss of a batch that is split as the parameters are."""
    batch = jax.lax.with_sharding_constraint(tokens, sharding.batch(mesh))
    return loss(lambda p, _, *args: collecting(p, batch, *args), params)

  expected = jax.jit(jax.value_and_grad(functools.partial(loss, apply_fn)))
  made = jax.jit(jax.value_and_grad(moved), out_shardings=(None, places))
  split = jax.device_put(params, places)
  found = made(split, tokens)
  trees.assert_near(
    jax.tree.map(np.asarray, found), jax.device_get(expected(params))
  )
  text = made.lower(split, tokens).compile().as_text()
  of_floats = re.compile(r" f32.* all-gather\(")
  gathers = [line for line in text.splitlines() if of_floats.search(line)]
  # In a loop they are of the slice of one layer.
  where = re.compile("while/body" if scan else "gather_params")
  assert sum(bool(where.search(x)) for x in gathers) >= 7, gathers
  where = re.compile("while/body|gather_params")
  assert all(where.search(x) for x in gathers), gathers


@pytest.mark.skipif(
  jax.default_backend() != "cpu", reason="makes devices of the host's cores"
)
@pytest.mark.parametrize(
  "name",
  [
    "greedy",
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in (
        "pages",
        "carried",
        "rollouts",
        "best_first",
      )
    ),
  ],
)
def test_plays_the_same_as_with_whole_parameters(name):
  call_on_eight_devices("plays_on_eight_devices", name)


@pytest.mark.skipif(
  jax.default_backend() != "cpu", reason="makes devices of the host's cores"
)
@pytest.mark.parametrize(
  "remat, scan", [("", ""), ("full", ""), ("full", "scan")]
)
def test_learns_the_same_as_with_whole_parameters(remat, scan):
  call_on_eight_devices("gradients_on_eight_devices", remat, scan)


def call_on_eight_devices(function, *arguments):
  """Call a function of this module in a process of its own."""
  here = pathlib.Path(__file__).parent
  text = (
    "import sys; sys.path[:0] = sys.argv[1:3]; import conftest, parts_test;"
    " getattr(parts_test, sys.argv[3])(*sys.argv[4:])"
  )
  paths = map(str, (here, here.parent))
  result = subprocess.run(
    [sys.executable, "-c", text, *paths, function, *arguments],
    env=os.environ
    | {
      "XLA_FLAGS": f"{unoptimized.FLAGS} "
      "--xla_force_host_platform_device_count=8",
      "JAX_PLATFORMS": "cpu",
    },
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_tpu_collects_a_layer_at_a_time():
  pytest.importorskip("libtpu")
  devices = topology.devices_of("v5e:2x2")
  mesh = sharding.make_mesh(sharding.MeshConfig(fsdp=4), devices=devices)
  shape = transformer.TransformerConfig(
    vocab_size=1024,
    num_layers=4,
    embed_dim=2048,
    num_heads=16,
    num_kv_heads=16,
    head_dim=128,
    mlp_dim=8192,
    tie_embeddings=False,
    dtype="bfloat16",
  )
  apply_fn = transformer.PolicyValueTransformer(shape).apply
  params = jax.eval_shape(
    lambda key: transformer.init_params(shape, key), jax.random.key(0)
  )
  places = sharding.state(params, mesh, min_size=2048)

  def write(params, tokens):
    """Go on greedily until all end in one token."""

    def is_running(state):
      time, tokens = state
      return (time < 5) & parts.anywhere(params, jnp.any(tokens != 3))

    def step(state):
      time, tokens = state
      output = apply_fn(params, tokens, jnp.zeros_like(tokens))
      return time + 1, jnp.argmax(output.logits, -1).astype(jnp.int32)

    return jax.lax.while_loop(is_running, step, (jnp.int32(0), tokens))[1]

  tokens = jax.ShapeDtypeStruct(
    (4, 1, 2), "int32", sharding=sharding.slots(mesh)
  )
  made = sharding.shard_self_play(write, mesh, parts=places).lower(
    sharding.abstract(params, places), tokens
  )
  compiled = made.compile()
  works, _ = work.of(hlo.parse(compiled.as_text()), {})
  sent = work.collectives(works)["all-gather"]["bytes"]
  held = compiled.memory_analysis().temp_size_in_bytes
  whole = sum(2 * x.size for x in jax.tree.leaves(params))  # in bfloat16
  print(f"temporaries of {held} bytes, parameters of {whole}")
  assert held < 0.5 * whole
  # For each of five tokens all is collected, norms in float32, but the head of
  # the value, which nobody asks.
  norms, value_head = 2048 * (2 * shape.num_layers + 1), 2048 + 1
  assert sent == 5 * (whole + 2 * norms - 2 * value_head)


def test_whole_parameters_are_on_their_own():
  running = np.array(True)
  assert parts.anywhere({"a": np.ones(3)}, running) is running
