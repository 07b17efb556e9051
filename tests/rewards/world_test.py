"""The losses of world models against loops, and what such a model learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solutions
import toy_task

from alphallm.models import transformer, world_model
from alphallm.rewards import base, examples, training, world

TASK = toy_task.Walk("reset")
SIZE, V, U = TASK.max_observation_tokens, TASK.vocab_size, 2
CONFIG = transformer.TransformerConfig(
  vocab_size=V,
  num_layers=1,
  embed_dim=16,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
)
MODEL = world_model.WorldModel(CONFIG, SIZE)
POLICY = transformer.init_params(CONFIG, jax.random.key(0))
TABLE = transformer.embeddings(POLICY)


@pytest.fixture(scope="module")
def walks():
  solution, solved = solutions.random_walks(TASK, 24, seed=2)
  last = np.asarray(solution.num_steps) == TASK.max_steps
  return solution, solved, last & ~solved


def test_walks_are_cut_out_of_solutions(walks):
  solution, solved, truncated = walks
  made = examples.of_walks(solution, solved, truncated, U)
  row = 0
  for i, count in enumerate(solution.num_steps):
    for start in range(count):
      for u in range(U + 1):
        end = made.ends[row, u]
        if start + u > count:
          assert end == 0
          continue
        assert end == solution.ends[i, start + u]
        np.testing.assert_array_equal(
          made.contexts[row, u], solution.contexts[i, start + u]
        )
      for u in range(U):
        step, is_step = start + u, start + u < count
        is_last = step == count - 1
        assert made.is_step[row, u] == is_step
        assert made.legal[row, u] == (is_step and solution.legal[i, step])
        assert made.rewards[row, u] == (is_last and solved[i])
        assert made.over[row, u] == (is_last and not truncated[i])
        if is_step:
          np.testing.assert_array_equal(
            made.steps[row, u], solution.steps[i, step]
          )
          assert made.step_lengths[row, u] == solution.step_lengths[i, step]
      row += 1
  assert row == len(made.ends)
  # All kinds of ends are among them.
  assert made.rewards.any() and (made.is_step & ~made.legal).any()
  assert truncated.any() and (made.over & (made.rewards == 0)).any()


def test_what_has_no_states_or_steps_is_refused(walks):
  solution, solved, truncated = walks
  one = solution.replace(contexts=solution.contexts[:, :1])
  with pytest.raises(ValueError, match="contexts reset"):
    examples.of_walks(one, solved, truncated, U)
  none = solution.replace(num_steps=0 * solution.num_steps)
  with pytest.raises(ValueError, match="no solution has steps"):
    examples.of_walks(none, solved, truncated, U)


def noise(shape, rng):
  return jnp.asarray(rng.normal(size=shape))


def test_the_loss_is_its_formula(walks):
  made = examples.of_walks(*walks, U)
  count, rng = len(made.ends), np.random.default_rng(0)
  seen = world_model.Foresight(
    tokens=noise((count, U, SIZE, V), rng),
    length=noise((count, U, SIZE), rng),
    legal=noise((count, U), rng),
    over=noise((count, U), rng),
    reward=noise((count, U), rng),
  )
  told = jax.tree.map(lambda x: np.asarray(x, np.float64), seen)
  log_softmax = lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))
  binary = lambda logit, wanted: np.log1p(np.exp(-logit if wanted else logit))
  total = 0.0
  for row, u in np.argwhere(made.is_step):
    total += binary(told.reward[row, u], made.rewards[row, u])
    total += binary(told.legal[row, u], made.legal[row, u])
    if made.legal[row, u]:
      end = made.ends[row, u + 1]
      text = made.contexts[row, u + 1, :end]
      total += binary(told.over[row, u], made.over[row, u])
      total -= log_softmax(told.length[row, u])[end - 1]
      tokens = log_softmax(told.tokens[row, u])
      total -= np.mean(tokens[np.arange(end), text])
  found = jax.jit(world.foresight_loss)(seen, made)
  np.testing.assert_allclose(found, total / made.is_step.sum(), rtol=1e-5)


def test_each_step_goes_on_from_the_one_before(walks):
  solution, _, _ = walks
  params = world_model.init_params(MODEL, jax.random.key(3))
  rng = np.random.default_rng(1)
  params = jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape), params)
  text, ends = solution.contexts[:, 0], solution.ends[:, 0]
  steps, lengths = solution.steps, solution.step_lengths
  seen = jax.jit(
    lambda: world.unrolled(MODEL, params, TABLE, (text, ends), (steps, lengths))
  )()
  state = jnp.asarray(TABLE)[text], ends
  for t in range(steps.shape[1]):
    one = jax.jit(MODEL.apply)(params, *state, steps[:, t], lengths[:, t])
    jax.tree.map(
      lambda x, y, t=t: np.testing.assert_allclose(x[:, t], y, atol=1e-5),
      seen,
      one,
    )
    state = one.embedding(TABLE), one.num_tokens
  scores = jax.jit(world.reward(MODEL, params, TABLE))(solution)
  sigmoid = lambda x: 1 / (1 + np.exp(-np.asarray(x, np.float64)))
  allowed = np.cumprod(sigmoid(seen.legal), axis=1)
  wanted = sigmoid(seen.reward) * allowed * solution.is_step
  np.testing.assert_allclose(scores.steps, wanted, rtol=1e-4, atol=1e-7)
  np.testing.assert_allclose(scores.outcome, wanted.max(1), rtol=1e-4)


@pytest.mark.slow
def test_a_world_is_learnt():
  """One graph, of which all walks are: where steps lead can be known."""
  solution, solved = solutions.random_walks(TASK, 256, one=True)
  rows = examples.of_walks(solution, solved, np.zeros(256, bool), U)
  fit = training.FitConfig(num_steps=400, batch_size=64, learning_rate=1e-2)
  params = training.fit(
    training.world_loss(MODEL, TABLE),
    fit,
    world_model.init_params(MODEL, jax.random.key(0), POLICY),
    rows,
    jax.random.key(1),
  )
  scores = jax.jit(world.reward(MODEL, params, TABLE))(solution)
  assert isinstance(scores, base.Scores)
  assert np.mean((scores.outcome > 0.5) == solved) > 0.95
