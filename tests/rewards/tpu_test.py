"""Compiles the losses of reward models, and what pays by them, for a TPU."""

import jax
import pytest
import random_transformer
import solutions
import some_episodes
import toy_task

from alphallm import rewards, sharding
from alphallm.compiled import topology
from alphallm.learning import payment
from alphallm.models import transformer, world_model
from alphallm.rewards import examples, training

pytest.importorskip("libtpu")
pytestmark = pytest.mark.slow

TASK = toy_task.Walk("reset")
SHAPE = random_transformer.shape(32, TASK.vocab_size, dtype="bfloat16")
apply_fn = transformer.PolicyValueTransformer(SHAPE).apply
MODEL = {"workdir": "W", "name": "one"}
PAYMENT = {
  "kind": "mixture",
  "length_budget": 4,
  "shaping": "value",
  "parts": [
    {"kind": "confidence", "weight": 0.5},
    {"kind": "model", "weight": 0.5, "dense": True, **MODEL},
  ],
}


@pytest.fixture(scope="module")
def params():
  return transformer.init_params(SHAPE, jax.random.key(0))


@pytest.fixture(scope="module")
def walks():
  """Return solutions, and which of them solve."""
  return solutions.random_walks(TASK, 8)


def assert_compiles(fn, *args):
  mesh = sharding.make_mesh(devices=topology.devices_of("v5e-8"))
  whole = sharding.replicated(mesh)
  placed = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), args
  )
  assert "ENTRY" in jax.jit(fn).lower(*placed).compile().as_text()


def test_the_loss_of_states_compiles(params, walks):
  solution, _ = walks
  rows = examples.of_steps(solution, solution.legal)
  assert_compiles(jax.grad(training.state_loss(apply_fn)), params, rows)


def test_the_loss_of_an_implicit_reward_compiles(params, walks):
  solution, _ = walks
  pair = examples.Pairs(better=solution, worse=solution)
  loss = training.implicit_loss(apply_fn, params, 0.1)
  assert_compiles(jax.grad(loss), params, pair)


def test_the_loss_of_an_expert_reward_compiles(params, walks):
  solution, _ = walks
  loss = training.expert_loss(apply_fn, 0.5, 1.0)
  assert_compiles(jax.grad(loss), params, solution)


def test_the_loss_of_a_world_compiles(params, walks):
  solution, solved = walks
  world = world_model.WorldModel(SHAPE, TASK.max_observation_tokens)
  own = world_model.init_params(world, jax.random.key(0))
  rows = examples.of_walks(solution, solved, ~solved, 2)
  loss = training.world_loss(world, transformer.embeddings(params))
  assert_compiles(jax.grad(loss), own, rows)


def test_payment_by_a_model_compiles(params):
  config = payment.make(PAYMENT)

  def pay(params, episodes, done):
    judge = payment.Judge(
      reward=rewards.model.reward(apply_fn, params), potential=None
    )
    return payment.of_done(
      lambda some: payment.pay(
        config,
        {payment.Model(**MODEL): judge},
        apply_fn,
        params,
        some,
        discount=0.97,
      ),
      episodes,
      done,
      4,
    )

  assert_compiles(pay, params, *some_episodes.make("reset", (4, 5)))
