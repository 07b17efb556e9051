"""A search in embeddings: by a model that knows the rules, that of the text."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import toy_task
import unoptimized

from alphallm.models import transformer, world_model
from alphallm.search import embedded, play, tree_search

TASK, B = toy_task.Walk("reset"), 6
CONFIG = random_transformer.shape(16, TASK.vocab_size)
TRANSFORMER, PARAMS = random_transformer.make(CONFIG, scale=0.3)
# It prefers what steps are made of.
BIAS = np.zeros((1, 1, 1, TASK.vocab_size), np.float32)
BIAS[..., [*toy_task.LETTER_IDS, toy_task.NEWLINE]] = 6.0
SEARCH = tree_search.SearchConfig(num_simulations=8, num_candidates=8)
GRAPH = jax.tree.map(
  lambda x: x[0], TASK.sample_numpy(np.random.default_rng(5), 1)
)
PROBLEMS = jax.tree.map(lambda x: np.stack([x] * B), GRAPH)
KEYS = jax.random.split(jax.random.key(0), B)
SURE = 1e3  # a logit


def apply_fn(*args, **options):
  output = TRANSFORMER(*args, **options)
  return output.replace(logits=output.logits + BIAS)


def rows(params):
  return transformer.embeddings(params)


def knows_the_rules(table, state, lengths, steps, step_lengths):
  """Foresee by the graph of the one problem that all have."""
  del lengths
  near = jnp.sum(jnp.square(state[:, 0, None] - table[None]), axis=-1)
  letter = jnp.argmin(near, axis=-1)
  place = jnp.argmax(letter[:, None] == toy_task.PLACE_IDS[None], axis=-1)
  first = TASK.init(jax.tree.map(jnp.asarray, GRAPH))

  def take(place, step, length):
    inner = first.inner.replace(place=place)
    here = first.replace(inner=inner, terminated=jnp.zeros((), bool))
    return TASK.step(here, step, length)

  after = jax.vmap(take)(place, steps, step_lengths)
  sure = lambda x: jnp.where(x, SURE, -SURE)
  size = state.shape[1]
  return world_model.Foresight(
    tokens=SURE * jax.nn.one_hot(after.observation, table.shape[0]),
    length=jax.nn.one_hot(after.observation_length - 1, size),
    legal=sure(after.legal),
    over=sure(after.terminated),
    reward=sure(after.reward >= 1),
  )


def world(params):
  table = rows(params)
  return embedded.Embedded(
    task=TASK,
    foresee=functools.partial(knows_the_rules, table),
    table=table,
  )


@functools.lru_cache
def found(inside, config=SEARCH, max_moves=None):
  def solve(params):
    return play.solve(
      apply_fn,
      TASK,
      config,
      params,
      KEYS,
      PROBLEMS,
      max_moves=max_moves,
      keep_tree=True,
      world=world(params) if inside else None,
    )

  return jax.device_get(unoptimized.jit(solve)(PARAMS))


def test_trees_are_those_of_the_environment():
  seen, true = (found(inside, max_moves=1) for inside in (True, False))
  for name in (
    "node_visits",
    "node_values",
    "children_visits",
    "children_rewards",
    "children_discounts",
  ):
    np.testing.assert_allclose(
      getattr(seen.tree, name),
      getattr(true.tree, name),
      atol=1e-5,
      err_msg=name,
    )
  held, told = seen.tree.embeddings, true.tree.embeddings
  np.testing.assert_array_equal(held.tokens, told.tokens)
  np.testing.assert_array_equal(held.wins, told.wins)
  made = true.tree.node_visits > 0
  text = rows(PARAMS)[told.state.observation]
  is_token = np.arange(3) < told.state.observation_length[..., None]
  legal = (made & told.state.legal)[..., None] & is_token
  np.testing.assert_allclose(
    held.state.observation[legal], text[legal], atol=1e-5
  )
  assert np.median(seen.tree.node_visits[:, 0]) > 2


def test_what_is_played_is_answered_by_the_environment():
  """One step a move; a way that the model saw to the goal leads there."""
  seen = found(True)
  episode = seen.episode
  assert not episode.on_solution.any()
  np.testing.assert_array_equal(seen.solved, seen.reward == 1)
  assert seen.solved.any()
  assert np.all(seen.cost.nodes > 0)


def test_a_model_that_errs_is_told_so():
  """One that takes every step for a solution plays what the prior prefers."""

  def hopes(params):
    def foresee(*given):
      seen = knows_the_rules(rows(params), *given)
      return seen.replace(legal=0 * seen.legal + 1, reward=0 * seen.reward + 1)

    return dataclasses.replace(world(params), foresee=foresee)

  hoped = jax.device_get(
    unoptimized.jit(
      lambda params: play.solve(
        apply_fn, TASK, SEARCH, params, KEYS, PROBLEMS, world=hopes(params)
      )
    )(PARAMS)
  )
  truth = hoped.episode.rewards.sum(axis=1) >= 1
  np.testing.assert_array_equal(hoped.solved, truth)
  assert not hoped.solved.all()


def test_what_cannot_be_is_refused():
  appends = toy_task.Walk("append")
  with pytest.raises(ValueError, match="reset the context"):
    embedded.Embedded(task=appends, foresee=None, table=None)
  for changed in ({"rules_propose": True}, {"carry_over": True}):
    config = dataclasses.replace(SEARCH, **changed)
    with pytest.raises(ValueError, match="no rules that propose"):
      found(True, config)
  config = dataclasses.replace(SEARCH, process_reward=lambda state: 0.5)
  with pytest.raises(ValueError, match="scores states of text"):
    found(True, config)
