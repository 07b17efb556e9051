import jax
import jax.numpy as jnp
import numpy as np
import toy_task

from alphallm.search import candidates, judge

# Five draws of three steps: the first was drawn three times.
TOKENS = np.array([[[4, 2], [5, 2], [4, 2], [6, 2], [4, 2]]], np.int32)
STEPS = candidates.Candidates(
  tokens=jnp.asarray(TOKENS),
  lengths=jnp.full((1, 5), 2),
  log_probs=jnp.log(jnp.array([[0.6, 0.3, 0.6, 0.1, 0.6]])),
  prior=jnp.zeros((1, 5)),
)


def probabilities(logits):
  return np.asarray(jax.nn.softmax(logits))[0]


def test_equal_draws_add_up():
  """The prior of Sampled MuZero: how often a step was drawn."""
  logits, wins = judge.judge(
    STEPS, None, prior_temperature=1.0, sees_reward=False
  )
  np.testing.assert_allclose(
    probabilities(logits), [0.6, 0.2, 0, 0.2, 0], atol=1e-6
  )
  assert not wins.any()


def test_draws_with_equal_outcomes_add_up():
  """Where the environment says so, unequal steps are the same one too."""
  task = toy_task.Walk("append")
  problems = task.sample_numpy(np.random.default_rng(0), 1)
  state = jax.vmap(task.init)(problems)
  after = jax.tree.map(lambda x: jnp.repeat(x[:, None], 5, axis=1), state)
  after = after.replace(
    legal=jnp.array([[True, True, True, False, True]]),
    fingerprint=jnp.array([[7, 7, 7, 9, 8]], jnp.uint32),
  )
  logits, _ = judge.judge(
    STEPS, after, prior_temperature=1.0, sees_reward=False
  )
  np.testing.assert_allclose(
    probabilities(logits), [0.75, 0, 0, 0, 0.25], atol=1e-6
  )


def test_what_is_impossible_stays_so():
  steps = STEPS.replace(
    log_probs=STEPS.log_probs.at[0, 1].set(candidates.IMPOSSIBLE)
  )
  logits, _ = judge.judge(steps, None, prior_temperature=1.0, sees_reward=False)
  assert logits[0, 1] == candidates.IMPOSSIBLE
