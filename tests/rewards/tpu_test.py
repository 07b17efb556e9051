"""Compiles the losses of reward models, and what pays by them, for a TPU."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("libtpu")

PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
import conftest, jax, numpy as np, solutions, some_episodes, toy_task
from jax.experimental import topologies
from alphallm import rewards, sharding
from alphallm.learning import payment
from alphallm.models import transformer, world_model
from alphallm.rewards import examples, training

topology = topologies.get_topology_desc(
  platform="tpu", topology_name="v5e:2x4")
whole = sharding.replicated(sharding.make_mesh(devices=topology.devices))
task = toy_task.Walk("reset")
config = transformer.TransformerConfig(
  vocab_size=task.vocab_size, num_layers=1, embed_dim=32, num_heads=2,
  num_kv_heads=1, head_dim=16, mlp_dim=32, dtype="bfloat16")
apply_fn = transformer.PolicyValueTransformer(config).apply
params = transformer.init_params(config, jax.random.key(0))
solution, solved = solutions.random_walks(task, 8)
pair = examples.Pairs(better=solution, worse=solution)
losses = {
  "state": (training.state_loss(apply_fn),
            examples.of_steps(solution, solution.legal)),
  "implicit": (training.implicit_loss(apply_fn, params, 0.1), pair),
  "expert": (training.expert_loss(apply_fn, 0.5, 1.0), solution),
}
place = lambda tree: jax.tree.map(
  lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), tree)
world = world_model.WorldModel(config, task.max_observation_tokens)
own = {"world": world_model.init_params(world, jax.random.key(0))}
losses["world"] = (
  training.world_loss(world, transformer.embeddings(params)),
  examples.of_walks(solution, solved, ~solved, 2))
for name, (loss, rows) in losses.items():
  compiled = jax.jit(jax.grad(loss)).lower(
    place(own.get(name, params)), place(rows)).compile()
  assert "ENTRY" in compiled.as_text()
  print(name)

model = dict(workdir="W", name="one")
config = payment.make(dict(
  kind="mixture", length_budget=4, shaping="value", parts=[
    dict(kind="confidence", weight=0.5),
    dict(kind="model", weight=0.5, dense=True, **model)]))

def pay(params, episodes, done):
  judge = payment.Judge(
    reward=rewards.model.reward(apply_fn, params), potential=None)
  return payment.of_done(
    lambda some: payment.pay(config, {payment.Model(**model): judge},
      apply_fn, params, some, discount=0.97), episodes, done, 4)

episodes = place(some_episodes.make("reset", (4, 5)))
compiled = jax.jit(pay).lower(place(params), *episodes).compile()
assert "ENTRY" in compiled.as_text()
print("payment")
"""


@pytest.mark.slow
def test_losses_and_payment_compile_for_a_tpu():
  here = pathlib.Path(__file__).parent
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM, *map(str, (here, *here.parents[:2]))],
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
  names = ["state", "implicit", "expert", "world", "payment"]
  assert result.stdout.split() == names
