"""Losses on batches, and that training makes them small."""

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import solutions
import toy_task

from alphallm import tasks
from alphallm.models import transformer
from alphallm.rewards import examples, model, ranking, training

TASK = toy_task.Walk("reset")
CONFIG = random_transformer.shape(16, TASK.vocab_size)
APPLY = transformer.PolicyValueTransformer(CONFIG).apply
FIT = training.FitConfig(num_steps=60, batch_size=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def walks():
  solution, _ = solutions.random_walks(TASK, 64)
  # Right is what ends at an even place, which its text tells.
  last = np.arange(64), solution.num_steps
  even = solution.ends[last] == 2
  return solution, even


@pytest.mark.parametrize(
  ("trunk", "least"),
  [
    pytest.param("policy", 0.95, marks=pytest.mark.slow),
    ("shared", 0.8),
  ],
)
def test_a_model_learns_what_the_text_tells(walks, trunk, least):
  solution, even = walks
  params = transformer.init_params(CONFIG, jax.random.key(0))
  rows = examples.of_outcomes(solution, even)
  config = training.FitConfig(**{**vars(FIT), "trunk": trunk})
  told = []
  tell = lambda step, loss: told.append((step, loss))
  loss = training.state_loss(APPLY)
  after = training.fit(loss, config, params, rows, jax.random.key(1), tell)
  assert told[-1][0] == 60 and told[-1][1] < told[0][1]
  legal = np.all(solution.legal | ~np.asarray(solution.is_step), axis=1)
  scores = jax.jit(model.reward(APPLY, after))(solution).outcome
  assert ranking.auc(scores[legal], even[legal]) > least
  trunk_of = lambda p: {
    k: v for k, v in p["params"].items() if k != "value_head"
  }
  same = jax.tree.map(jnp.array_equal, trunk_of(params), trunk_of(after))
  assert all(jax.tree.leaves(same)) == (trunk == "shared")


def test_states_under_symmetries():
  """Numbers change places, each context by itself; the target stays."""
  task = tasks.Countdown(num_numbers=3)
  problems = task.sample_numpy(np.random.default_rng(0), 8, "train")
  state = jax.vmap(task.init)(problems)
  ends = state.observation_length[:, None]
  batch = examples.States(
    contexts=state.observation[:, None],
    ends=ends,
    labels=jnp.zeros(ends.shape),
    mask=ends > 0,
  )
  key = jax.random.key(0)
  turned = training.under_symmetries(task.augment, key, batch)
  read = lambda states: [
    task.tokenizer.decode([int(t) for t in row[0][: int(end[0])]])
    for row, end in zip(states.contexts, states.ends, strict=True)
  ]
  sorted_text = lambda text: [sorted(x.split()) for x in text.split(":")]
  before, after = read(batch), read(turned)
  assert before != after
  assert list(map(sorted_text, before)) == list(map(sorted_text, after))
  alone = jax.tree.map(lambda x: x[:1], turned)
  assert read(alone) == after[:1]


def test_losses_of_batches(walks):
  """Of pairs: that of siblings is Bradley-Terry's; DPO begins at log 2."""
  solution, even = walks
  params = fake_model.init_params(TASK.vocab_size)
  better, worse = examples.pairs(solution, even, 8, np.random.default_rng(0))
  pairs = examples.of_pairs(solution, better, worse)
  logits = jax.jit(
    lambda *args: model.state_logits(fake_model.apply_fn, *args)
  )(params, pairs.contexts, pairs.ends)
  wanted = np.mean(np.log1p(np.exp(-(logits[:, 0] - logits[:, 1]))))
  loss = jax.jit(training.sibling_loss(fake_model.apply_fn))
  found = loss(params, pairs)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  take = lambda rows: jax.tree.map(lambda x: x[rows], solution)
  rows = examples.Pairs(better=take(better), worse=take(worse))
  params = jax.tree.map(jnp.asarray, params)
  dpo = jax.jit(training.implicit_loss(fake_model.apply_fn, params, 0.1))
  np.testing.assert_allclose(dpo(params, rows), np.log(2), rtol=1e-6)
