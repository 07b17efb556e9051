"""Compiles the programs for TPUs, of which none is needed; libtpu is."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from alphallm.compiled import work

pytest.importorskip("libtpu")

PROGRAM = """
import dataclasses, functools, sys
sys.path[:0] = sys.argv[4:]
import conftest, jax, toy_task
from jax.experimental import topologies
from alphallm import search as strategies
from alphallm import selfplay, sharding
from alphallm.learning import (
  alphazero,
  learner,
  objective,
  optimizer,
  ppo,
  replay,
)
from alphallm.models import transformer, world_model
from alphallm.search import play, tree_search

topology = topologies.get_topology_desc(
  platform="tpu", topology_name=sys.argv[1])
mesh = sharding.make_mesh(
  sharding.MeshConfig(fsdp=int(sys.argv[3])), devices=topology.devices)
assert mesh.size == 8
task = toy_task.Walk("append", max_steps=3)
network = transformer.TransformerConfig(
  vocab_size=task.vocab_size, num_layers=2, embed_dim=32, num_heads=2,
  num_kv_heads=1, head_dim=16, mlp_dim=32, mlp="relu2", dtype="bfloat16")
apply_fn = transformer.PolicyValueTransformer(network).apply
player = selfplay.SelfPlayConfig(num_slots=32, num_moves=2, num_targets=3)
search = tree_search.SearchConfig(
  num_simulations=4, num_candidates=4, max_depth=3, shrink=1)
training = learner.LearnerConfig(batch_size=16, capacity=64)
tx = optimizer.make_tx(training)

def place(tree, sharding_):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(
    x.shape, x.dtype, sharding=sharding_), tree)

whole, split = sharding.replicated(mesh), sharding.slots(mesh)
like = lambda f, *args: jax.eval_shape(f, *args)
params = like(lambda key: transformer.init_params(network, key),
              jax.random.key(0))
params = jax.tree.map(place, params, sharding.state(params, mesh, min_size=512))
keys = place(like(lambda: jax.random.split(jax.random.key(0), 32)), split)
problems = place(task.sample_numpy(__import__("numpy").random.default_rng(0),
                                   32), split)
next_problems = jax.tree.map(lambda x: jax.ShapeDtypeStruct(
  (32, 2, *x.shape[1:]), x.dtype, sharding=split), problems)
slots = place(like(lambda k, p: selfplay.start(task, player, k, p), keys,
                   problems), split)
play_round = functools.partial(
  selfplay.play_round, apply_fn, task, player, search)
several = dataclasses.replace(search, shrink=0, width=2, carry_over=True)
solve = lambda params, keys, problems: play.solve(
  apply_fn, task, several, params, keys, problems)

def learn(state, buffer, key, num_steps):
  return learner.train_round(
    apply_fn, tx, training, alphazero.AlphaZero(), state, buffer, key,
    num_steps,
    augment=lambda key, context, steps: (
      jax.random.permutation(key, context), steps))

what, setting = ppo.PPO(), objective.Setting(discount=0.97)

def learn_ppo(state, buffer, episodes, done, key):
  examples, keep = what.examples(episodes, done, None, key, setting)
  buffer = replay.add(buffer, examples, keep)
  recall = functools.partial(what.recall, apply_fn, state.params)
  buffer = replay.complete(buffer, buffer.added, 16, recall)
  return learner.train_round(
    apply_fn, tx, training, what, state, buffer, key, buffer.added,
    newest=replay.num_since(buffer, 0))

_, harvest = like(play_round, params, slots, next_problems)
examples, _ = like(
  lambda e, d, k: replay.to_examples(e, d, k, discount=0.97),
  harvest.episodes, harvest.done, jax.random.key(0))
buffer = place(like(lambda e: replay.init(jax.tree.map(lambda x: x[0], e), 64),
                    examples), whole)
state = like(functools.partial(learner.init, tx), params)
state = jax.tree.map(place, state, sharding.state(state, mesh, min_size=512))
number = jax.ShapeDtypeStruct((), "int32", sharding=whole)
key = place(like(lambda: jax.random.key(0)), whole)
program = sys.argv[2]
if program == "self_play":
  lowered = sharding.shard_self_play(
    play_round, mesh, donate_argnums=1).lower(params, slots, next_problems)
elif program == "nodes":
  lowered = sharding.shard_self_play(
    functools.partial(play_round, nodes="all"), mesh).lower(
      params, slots, next_problems)
elif program == "learn_ppo":
  played = like(lambda e, d, k: what.examples(e, d, None, k, setting)[0],
                harvest.episodes, harvest.done, jax.random.key(0))
  buffer = place(like(lambda e: replay.init(
    jax.tree.map(lambda x: x[0], e), 64), played), whole)
  lowered = jax.jit(learn_ppo, donate_argnums=0).lower(
    state, buffer, *place((harvest.episodes, harvest.done), whole), key)
elif program == "solve":
  lowered = sharding.shard_self_play(solve, mesh).lower(params, keys, problems)
elif program == "embedded":
  reset = toy_task.Walk("reset", max_steps=3)
  model = world_model.WorldModel(network, reset.max_observation_tokens)
  foreseeing = place(like(lambda key: world_model.init_params(model, key),
                          jax.random.key(0)), whole)

  def solve_in_it(params, keys, problems):
    policy, own = params
    world = strategies.Embedded(
      task=reset, foresee=functools.partial(model.apply, own),
      table=transformer.embeddings(policy))
    return play.solve(apply_fn, reset, search, policy, keys, problems,
                      world=world)

  lowered = sharding.shard_self_play(solve_in_it, mesh).lower(
    (params, foreseeing), keys, problems)
elif program.startswith("search."):
  make = getattr(strategies, program.removeprefix("search."))
  lowered = sharding.shard_self_play(make(apply_fn, task), mesh).lower(
    params, keys, problems)
else:
  lowered = jax.jit(learn, donate_argnums=0).lower(state, buffer, key, number)
compiled = lowered.compile()
print(compiled.as_text())
print(compiled.memory_analysis(), file=sys.stderr)
"""


def compiled(topology, program, fsdp=1):
  """Return the compiled text; print what memory it takes."""
  here = pathlib.Path(__file__).parent
  paths = [str(here), str(here.parent)]
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM, topology, program, str(fsdp), *paths],
    # libtpu would ask the network what machine it is on, and let one process
    # at a time load it.
    env=os.environ
    | {
      "JAX_PLATFORMS": "cpu",
      "TPU_SKIP_MDS_QUERY": "1",
      "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    },
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  print(topology, program, result.stderr.splitlines()[-1])
  assert "ENTRY" in result.stdout
  return result.stdout


@pytest.mark.parametrize(
  ("topology", "program"),
  [
    ("v5e:2x4", "self_play"),
    pytest.param("v6e:2x4", "self_play", marks=pytest.mark.slow),
    pytest.param("v5e:2x4", "nodes", marks=pytest.mark.slow),
    pytest.param("v5e:2x4", "solve", marks=pytest.mark.slow),
    pytest.param("v6e:2x4", "solve", marks=pytest.mark.slow),
    pytest.param("v5e:2x4", "embedded", marks=pytest.mark.slow),
    pytest.param("v6e:2x4", "embedded", marks=pytest.mark.slow),
    *(
      pytest.param("v5e:2x4", f"search.{name}", marks=pytest.mark.slow)
      for name in (
        "greedy",
        "sampling",
        "vote",
        "best_of_n",
        "beam",
        "dvts",
        "rebase",
        "lookahead",
        "breadth_first",
        "depth_first",
        "best_first",
        "revision",
        "mctsr",
      )
    ),
    pytest.param("v6e:2x4", "search.rebase", marks=pytest.mark.slow),
    pytest.param("v6e:2x4", "search.best_first", marks=pytest.mark.slow),
  ],
)
def test_no_chip_waits_for_another(topology, program):
  text = compiled(topology, program)
  assert not [word for word in work.COLLECTIVES if word in text]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("topology", "program"),
  [("v5e:2x4", "learn"), ("v6e:2x4", "learn"), ("v5e:2x4", "learn_ppo")],
)
def test_learns_on_sharded_parameters(topology, program):
  text = compiled(topology, program, fsdp=8)
  assert [word for word in work.COLLECTIVES if word in text]


@pytest.mark.slow
def test_split_parameters_are_gathered_before_the_search():
  text = compiled("v5e:2x4", "self_play", fsdp=4)
  entry = text[text.index("ENTRY") :]
  of_it = re.compile(rf" ({'|'.join(work.COLLECTIVES)})(-start)?\(")
  lines = [line for line in text.splitlines() if of_it.search(line)]
  assert lines and all(line in entry for line in lines), lines
  assert all("gather_params" in line for line in lines), lines
