"""The toy task against its plain-Python twin, which the oracles rest on."""

import jax
import numpy as np
import toy_task


def test_walks_as_in_plain_python():
  task = toy_task.Walk()
  rng = np.random.default_rng(0)
  problems = task.sample_numpy(rng, 16)
  step, draw = jax.jit(jax.vmap(task.step)), jax.jit(jax.vmap(task.random_step))
  state = jax.vmap(task.init)(problems)
  walks = [toy_task.start(None) for _ in range(16)]
  for i in range(6):
    tokens, lengths = draw(jax.random.split(jax.random.key(i), 16), state)
    junk = rng.random(16) < 0.1
    lengths = np.where(junk, rng.integers(0, 4, 16), lengths)
    state = step(state, tokens, lengths)
    for b in range(16):
      problem = toy_task.problem_at(problems, b)
      walks[b] = toy_task.move(
        problem, walks[b], tokens[b, : lengths[b]], max_steps=4
      )
      walk = walks[b]
      length = state.observation_length[b]
      assert state.observation[b, :length].tolist() == toy_task.observe(walk)
      assert state.legal[b] == walk["legal"]
      assert state.terminated[b] == walk["over"]
      assert state.reward[b] == walk["reward"]
  assert {walk["legal"] for walk in walks} == {True, False}
