"""Small searches, and what their data say was known after each simulation."""

import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import toy_task
import unoptimized

from alphallm import search

B, K = 3, 5
TASK = toy_task.Walk("append", max_steps=3)
PARAMS = jax.tree.map(
  jnp.asarray,
  fake_model.init_params(
    toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
  ),
)


def problems(seed=6):
  return TASK.sample_numpy(np.random.default_rng(seed), B)


def result(budget=24, **settings):
  """Search the first moves of three walks, by PUCT, 24 simulations at most."""
  run = _searcher(**{"max_depth": 24, "max_moves": 1} | settings)
  return run(problems(), jnp.int32(budget))


@functools.cache
def _searcher(**settings):
  solve = search.mcts(
    fake_model.apply_fn,
    TASK,
    num_simulations=24,
    num_candidates=K,
    policy=search.Puct(dirichlet_fraction=0.0, temperature=0.0),
    play_solution=settings.pop("play_solution", False),
    **settings,
  )
  return unoptimized.jit(
    lambda problems, budget: solve(
      PARAMS, jax.random.key(0), problems, num_simulations=budget
    )
  )


def replay(data, step):
  """Return N and V of each node after some simulations, in plain Python."""
  size = len(data["parent"])
  visits, returns = np.zeros(size, int), np.zeros(size)
  visits[0], returns[0] = 1, data["raw"][0]
  for node in data["order"][:step]:
    back = data["raw"][node]
    while node >= 0:
      visits[node] += 1
      returns[node] += back
      back = data["reward"][node] + data["discount"][node] * back
      node = data["parent"][node]
  return visits, returns / np.maximum(visits, 1)


def grown(size, text, *, children=4, seed=0):
  """Return the data of a made-up tree; `text(i)` is what its steps say."""
  rng = np.random.default_rng(seed)
  parent, action, free, depth = [-1], [-1], [children], [0]
  for node in range(1, size):
    up = int(rng.integers(node))
    while not free[up]:
      up = parent[up] if up else int(rng.integers(node))
    free[up] -= 1
    free.append(children)
    depth.append(depth[up] + 1)
    parent.append(up)
    action.append(children - 1 - free[up])
  said = iter(range(size * children))
  data = {
    "context": text(0),
    "parent": parent,
    "action": action,
    "raw": rng.random(size).tolist(),
    "reward": [0.0] * size,
    "discount": [0.0] + [0.97] * (size - 1),
    "mark": [""] * size,
    "answer": [text(0)] * size,
    "steps": [[text(next(said)) for _ in range(children)] for _ in parent],
    "priors": rng.dirichlet([1.0] * children, size).tolist(),
    "wins": [[0] * children] * size,
    "order": list(range(1, size)),
    "is_sure": True,
    "line": [[0, action[1]]],
  }
  visits, values = replay(data, size)
  return data | {"visits": visits.tolist(), "value": values.tolist()}
