"""Compiles the programs for TPUs, of which none is needed; libtpu is."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import toy_task

from alphallm import search as strategies
from alphallm import selfplay, sharding
from alphallm.compiled import topology, work
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

pytest.importorskip("libtpu")

B, MOVES = 32, 2
TASK = toy_task.Walk("append", max_steps=3)
SHAPE = random_transformer.shape(
  32, TASK.vocab_size, num_layers=2, mlp="relu2", dtype="bfloat16"
)
apply_fn = transformer.PolicyValueTransformer(SHAPE).apply
PLAYER = selfplay.SelfPlayConfig(num_slots=B, num_moves=MOVES, num_targets=3)
SEARCH = tree_search.SearchConfig(
  num_simulations=4, num_candidates=4, max_depth=3, shrink=1
)
TRAINING = learner.LearnerConfig(batch_size=16, capacity=64)
TX = optimizer.make_tx(TRAINING)
KEY = jax.random.key(0)

play_round = functools.partial(
  selfplay.play_round, apply_fn, TASK, PLAYER, SEARCH
)


def place(tree, where):
  """Return the shapes of arrays that all lie the same way."""
  return jax.tree.map(lambda x: place_one(x, where), tree)


def place_one(x, where):
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)


def split_params(tree, mesh):
  """Return the shapes of a state whose large arrays are split over fsdp."""
  return jax.tree.map(place_one, tree, sharding.state(tree, mesh, min_size=512))


def positions(mesh):
  """Return the shapes of parameters, keys and problems."""
  params = jax.eval_shape(lambda: transformer.init_params(SHAPE, KEY))
  keys = jax.eval_shape(lambda: jax.random.split(KEY, B))
  problems = TASK.sample_numpy(np.random.default_rng(0), B)
  slots = sharding.slots(mesh)
  return split_params(params, mesh), place(keys, slots), place(problems, slots)


def a_round(mesh):
  """Return the shapes of what `play_round` takes."""
  params, keys, problems = positions(mesh)
  start = functools.partial(selfplay.start, TASK, PLAYER)
  following = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((B, MOVES, *x.shape[1:]), x.dtype), problems
  )
  slots = jax.eval_shape(start, keys, problems), following
  return params, *place(slots, sharding.slots(mesh))


def self_play(mesh):
  return sharding.shard_self_play(play_round, mesh, donate_argnums=1).lower(
    *a_round(mesh)
  )


def nodes(mesh):
  of_all = functools.partial(play_round, nodes="all")
  return sharding.shard_self_play(of_all, mesh).lower(*a_round(mesh))


def solve(mesh):
  several = dataclasses.replace(SEARCH, shrink=0, width=2, carry_over=True)
  fn = functools.partial(play.solve, apply_fn, TASK, several)
  return sharding.shard_self_play(fn, mesh).lower(*positions(mesh))


def embedded(mesh):
  task = toy_task.Walk("reset", max_steps=3)
  search = dataclasses.replace(SEARCH, shrink=0)
  model = world_model.WorldModel(SHAPE, task.max_observation_tokens)

  def solve_in_it(params, keys, problems):
    policy, own = params
    world = strategies.Embedded(
      task=task,
      foresee=functools.partial(model.apply, own),
      table=transformer.embeddings(policy),
    )
    return play.solve(
      apply_fn, task, search, policy, keys, problems, world=world
    )

  params, keys, problems = positions(mesh)
  own = jax.eval_shape(lambda: world_model.init_params(model, KEY))
  own = place(own, sharding.replicated(mesh))
  return sharding.shard_self_play(solve_in_it, mesh).lower(
    (params, own), keys, problems
  )


def strategy(name, mesh):
  """Lower a strategy of `alphallm.search`."""
  fn = getattr(strategies, name)(apply_fn, TASK)
  return sharding.shard_self_play(fn, mesh).lower(*positions(mesh))


def learning(mesh, make_examples):
  """Return the shapes of what learning takes: a state, a buffer, a round."""
  _, harvest = jax.eval_shape(play_round, *a_round(mesh))
  played = harvest.episodes, harvest.done
  examples, _ = jax.eval_shape(make_examples, *played)
  buffer = jax.eval_shape(
    lambda some: replay.init(
      jax.tree.map(lambda x: x[0], some), TRAINING.capacity
    ),
    examples,
  )
  params, *_ = positions(mesh)
  state = jax.eval_shape(functools.partial(learner.init, TX), params)
  return split_params(state, mesh), *place(
    (buffer, KEY, jnp.int32(0), played), sharding.replicated(mesh)
  )


def collecting(mesh, scan_layers=False):
  model = transformer.PolicyValueTransformer(SHAPE)
  model = transformer.learning(model, scan_layers)
  return sharding.collecting(model, mesh, min_size=512)


def learn(mesh):
  def train_round(state, buffer, key, num_steps):
    return learner.train_round(
      collecting(mesh),
      TX,
      TRAINING,
      alphazero.AlphaZero(),
      state,
      buffer,
      key,
      num_steps,
      batch_sharding=sharding.batch(mesh),
      augment=lambda key, context, steps: (
        jax.random.permutation(key, context),
        steps,
      ),
    )

  *args, _ = learning(
    mesh, lambda *played: replay.to_examples(*played, KEY, discount=0.97)
  )
  return jax.jit(train_round, donate_argnums=0).lower(*args)


def learn_ppo(mesh):
  what, setting = ppo.PPO(), objective.Setting(discount=0.97)
  make_examples = functools.partial(
    what.examples, nodes=None, rng_key=KEY, setting=setting
  )

  def train_round(state, buffer, key, num_steps, played):
    buffer = replay.add(buffer, *make_examples(*played))
    recall = functools.partial(
      what.recall, collecting(mesh, scan_layers=True), state.params
    )
    buffer = replay.complete(buffer, buffer.added, 16, recall)
    return learner.train_round(
      collecting(mesh, scan_layers=True),
      TX,
      TRAINING,
      what,
      state,
      buffer,
      key,
      num_steps,
      batch_sharding=sharding.batch(mesh),
      newest=replay.num_since(buffer, 0),
    )

  return jax.jit(train_round, donate_argnums=0).lower(
    *learning(mesh, lambda *played: make_examples(*played))
  )


def compiled(lower, name, fsdp=1):
  """Return the text of a program that is lowered for a TPU of eight chips."""
  mesh = sharding.make_mesh(
    sharding.MeshConfig(fsdp=fsdp), devices=topology.devices_of(name)
  )
  assert mesh.size == 8
  text = lower(mesh).compile().as_text()
  assert "ENTRY" in text
  return text


@pytest.mark.parametrize(
  ("lower", "name"),
  [
    (self_play, "v5e-8"),
    pytest.param(self_play, "v6e-8", marks=pytest.mark.slow),
    pytest.param(nodes, "v5e-8", marks=pytest.mark.slow),
    *(
      pytest.param(lower, name, marks=pytest.mark.slow)
      for lower in (solve, embedded)
      for name in ("v5e-8", "v6e-8")
    ),
  ],
)
def test_no_chip_waits_for_another(lower, name):
  text = compiled(lower, name)
  assert not [word for word in work.COLLECTIVES if word in text]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "chip"),
  [
    *(
      (name, "v5e-8")
      for name in (
        "greedy",
        "sampling",
        "best_of_n",
        "beam",
        "rebase",
        "lookahead",
        "depth_first",
        "best_first",
        "revision",
      )
    ),
    ("rebase", "v6e-8"),
  ],
)
def test_no_chip_of_a_strategy_waits_for_another(name, chip):
  text = compiled(functools.partial(strategy, name), chip)
  assert not [word for word in work.COLLECTIVES if word in text]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("lower", "name"),
  [(learn, "v5e-8"), (learn, "v6e-8"), (learn_ppo, "v5e-8")],
)
def test_learning_moves_parameters_and_not_activations(lower, name):
  text = compiled(lower, name, fsdp=8)
  gathers = re.compile(r"(.*) = \(?(bf16|f32).* all-gather(-start)?\(")
  lines = list(filter(gathers.match, text.splitlines()))
  # Parameters, in a loop the slice of a layer, and the gradient of the table.
  where = re.compile(r"gather_params|dynamic_index_in_dim|embed/.*scatter-add")
  assert lines and all(map(where.search, lines)), lines


@pytest.mark.slow
def test_split_parameters_are_gathered_before_the_search():
  text = compiled(self_play, "v5e-8", fsdp=4)
  entry = text[text.index("ENTRY") :]
  of_it = re.compile(rf" ({'|'.join(work.COLLECTIVES)})(-start)?\(")
  lines = [line for line in text.splitlines() if of_it.search(line)]
  assert lines and all(line in entry for line in lines), lines
  assert all("gather_params" in line for line in lines), lines
