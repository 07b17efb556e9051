"""Tests of rounds played ahead, on devices of their own and on the same."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_config
import unoptimized

from alphallm import config as config_lib
from alphallm import sharding
from alphallm import trainer as trainer_lib

ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = """
import sys
import jax, numpy as np
import tiny_config
from alphallm import checkpoint, compilation, sharding
from alphallm import config as config_lib
from alphallm import trainer as trainer_lib

compilation.enable_compilation_cache(sys.argv[2])
TOTAL, AHEAD, EVERY = 7, 2, 2

def make(apart, **selfplay):
  config = tiny_config.get_config()
  config.search.update(num_simulations=0, permission="rules")
  config.learner.update(learn_from="solved", max_steps=5)
  config.selfplay.update(selfplay)
  config.mesh.actors = 2 if apart else 0
  run = config_lib.make_run(config)
  return trainer_lib.Trainer(run, *sharding.make_meshes(run.mesh))

def on_host(state):
  plain = lambda x: np.asarray(
    jax.random.key_data(x)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
  return jax.tree.map(plain, state)

# What happens, round by round, in plain words.
plain = make(False)
actors, state = plain.actors, plain.init()
slots, learned = state.slots, (state.learner, state.replay, state.credit)
weights = [on_host(state.learner.params)]
for i in range(TOTAL):
  policy = weights[max(0, i - AHEAD) // EVERY * EVERY]
  policy = sharding.put(policy, sharding.replicated(plain.mesh))
  slots, played = actors.play_round(actors.push(policy, 0), slots, i)
  *learned, scalars = plain._learn(
    *learned, played,
    *sharding.put((plain._learn_key, np.int32(i)), plain._whole), None, ())
  weights.append(on_host(learned[0].params))
steps = int(scalars["train_steps"])
assert steps > 10

for apart in True, False:
  trainer = make(apart, ahead=AHEAD, push_every=EVERY)
  assert trainer.mesh.size == (2 if apart else 4)
  assert trainer.actors.are_apart == apart
  assert not apart or not (
    set(trainer.mesh.devices.flat) & set(trainer.actors.mesh.devices.flat))
  state, stale = trainer.init(), []
  for i in range(TOTAL):
    with jax.transfer_guard("disallow"):
      state, scalars = trainer.iterate(state, i)
    stale.append(int(scalars["staleness"]))
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6),
      on_host(state.learner.params), weights[i + 1])
    if i == 3 and apart:
      with checkpoint.Checkpointer(sys.argv[1]) as checkpointer:
        checkpointer.save(i, state)
  assert int(scalars["train_steps"]) == steps
  # The learner is at i, and W_0, W_2, W_4 play rounds 0-3, 4-5, 6.
  assert stale == [0, 1, 2, 3, 2, 3, 2], stale
  if apart:
    whole = on_host(state)

# What was under way is saved with the rest, and goes on on other devices, too.
for apart in True, False:
  trainer = make(apart, ahead=AHEAD, push_every=EVERY)
  with checkpoint.Checkpointer(sys.argv[1], read_only=True) as checkpointer:
    state = checkpointer.restore(trainer.abstract()).state
  for i in range(4, TOTAL):
    state, _ = trainer.iterate(state, i)
  same = np.testing.assert_array_equal if apart else (
    lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6))
  jax.tree.map(same, on_host(state).learner, whole.learner)
  if apart:
    jax.tree.map(same, on_host(state), whole)

# Without either, and apart, the weights of each iteration play its round.
trainer = make(True)
state = trainer.init()
assert state.policy == state.rounds == ()
for i in range(3):
  state, scalars = trainer.iterate(state, i)
  assert scalars["staleness"] == 0
turns = make(False)
other = turns.init()
for i in range(3):
  other, _ = turns.iterate(other, i)
jax.tree.map(
  lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6),
  on_host(state.learner), on_host(other.learner))
print("done")
"""


@pytest.mark.parametrize("ahead, every", [(0, 3), (1, 1), (2, 2)])
def test_each_round_is_played_by_the_weights_of_its_turn(ahead, every):
  config = tiny_config.get_config()
  config.selfplay.update(ahead=ahead, push_every=every)
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  trainer = trainer_lib.Trainer(config_lib.make_run(config), mesh)
  assert not trainer.actors.are_apart
  zeros = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype), trainer.abstract().learner.params
  )
  # Weights that count iterations, and rounds that tell who played them.
  first = lambda params: int(np.min(jax.tree.leaves(params)[0]))
  trainer.actors.play = lambda both, slots, drawn: (slots, first(both[0]))

  def learn(state, buffer, credit, played, rng_key, iteration, *unused):
    told = played.harvest, int(iteration - played.policy.iteration)
    params = jax.tree.map(lambda x: x + 1, state.params)
    return state.replace(params=params), buffer, credit, told

  trainer._learn = learn
  asked = []
  state = trainer.init(asked.append, params=zeros)
  for i in range(9):
    assert len(state.rounds) == ahead
    state, (player, stale) = trainer.iterate(state, i, asked.append)
    assert player == max(0, i - ahead) // every * every
    assert stale == i - player <= ahead + every - 1
  assert asked == [0, *range(9 + ahead)]


@pytest.mark.slow
def test_on_devices_of_their_own_they_play_the_same(tmp_path):
  cache = jax.config.jax_compilation_cache_dir
  flags = f"{unoptimized.FLAGS} --xla_force_host_platform_device_count=4"
  ended = subprocess.run(
    [sys.executable, "-c", PROGRAM, tmp_path / "saved", cache],
    env=os.environ
    | {
      "XLA_FLAGS": flags,
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
    },
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert ended.stdout == "done\n", ended.stderr
