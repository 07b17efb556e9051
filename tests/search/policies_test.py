import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
import unoptimized
from walk import INVALID, PRIORS, VALUES, B, K, step

from alphallm.search import loop, policies

N, DEPTH = 14, 4


def root(place=None):
  place = 11 * np.arange(B) if place is None else place
  return mctx.RootFnOutput(
    prior_logits=PRIORS[place], value=VALUES[place], embedding=place
  )


def keys_like(n, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def searcher(expand, policy, num_simulations, max_depth, invalid_actions):
  """Return `f(keys, root) -> mctx.PolicyOutput`, jitted."""

  @unoptimized.jit
  def run(keys, root):
    batch = len(keys)
    invalid = jnp.asarray(invalid_actions(batch))
    planted, extra_data = policy.prepare(
      keys,
      root,
      invalid,
      jnp.full((batch,), num_simulations),
      num_simulations=num_simulations,
      visits=jnp.zeros(invalid.shape, jnp.int32),
    )
    tree, _ = loop.search(
      keys,
      loop.plant(planted, num_simulations, invalid, extra_data),
      expand_fn=lambda shared, visit, embedding, carry: (
        *expand(None, None, visit.action, embedding),
        (),
      ),
      root_action_selection_fn=policy.choose_at_root,
      interior_action_selection_fn=policy.choose_below,
      max_depth=max_depth,
    )
    action, weights = policy.decide(keys, tree)
    return mctx.PolicyOutput(
      action=action, action_weights=weights, search_tree=tree
    )

  return run


@functools.cache
def ours(policy, *, num_simulations=N, **options):
  return searcher(
    step,
    policy(**options),
    num_simulations,
    DEPTH,
    lambda n: INVALID if n == B else np.zeros((n, K), bool),
  )


def mctxs(policy, **options):
  return unoptimized.jit(
    lambda key, root: policy(
      None,
      key,
      root,
      step,
      num_simulations=N,
      max_depth=DEPTH,
      invalid_actions=jnp.float32(INVALID),
      **options,
    )
  )


def assert_equal_outputs(a, b):
  np.testing.assert_array_equal(a.action, b.action)
  np.testing.assert_allclose(a.action_weights, b.action_weights, atol=1e-5)
  for name in (
    "node_visits",
    "parents",
    "action_from_parent",
    "children_index",
    "children_visits",
  ):
    np.testing.assert_array_equal(
      getattr(a.search_tree, name), getattr(b.search_tree, name)
    )
  for name in "node_values", "raw_values", "children_values":
    np.testing.assert_allclose(
      getattr(a.search_tree, name), getattr(b.search_tree, name), atol=1e-5
    )


def test_gumbel_without_noise_equals_mctx():
  found = ours(policies.Gumbel, gumbel_scale=0.0)(keys_like(B), root())
  expected = mctxs(
    mctx.gumbel_muzero_policy, gumbel_scale=0.0, max_num_considered_actions=K
  )(jax.random.key(5), root())
  assert_equal_outputs(found, expected)


@pytest.mark.parametrize("rescale", [True, False])
def test_gumbel_with_the_same_noise_equals_mctx(monkeypatch, rescale):
  keys = keys_like(B, 3)
  noise = np.stack([jax.random.gumbel(key, (K,)) for key in keys])
  found = ours(policies.Gumbel, rescale_values=rescale, value_scale=0.2)(
    keys, root()
  )
  run = mctxs(
    mctx.gumbel_muzero_policy,
    max_num_considered_actions=K,
    qtransform=functools.partial(
      mctx.qtransform_completed_by_mix_value,
      rescale_values=rescale,
      value_scale=0.2,
    ),
  )
  monkeypatch.setattr(jax.random, "gumbel", lambda *_, **__: noise)
  assert_equal_outputs(found, run(jax.random.key(5), root()))
  monkeypatch.undo()
  quiet = ours(policies.Gumbel, gumbel_scale=0.0)(keys, root())
  assert np.any(
    quiet.search_tree.children_visits != found.search_tree.children_visits
  )


def test_puct_without_noise_equals_mctx():
  found = ours(policies.Puct, dirichlet_fraction=0.0, temperature=0.0)(
    keys_like(B), root()
  )
  expected = mctxs(mctx.muzero_policy, dirichlet_fraction=0.0, temperature=0.0)(
    jax.random.key(5), root()
  )
  assert_equal_outputs(found, expected)
  visits = found.search_tree.children_visits[:, 0]
  np.testing.assert_allclose(found.action_weights, visits / N, rtol=1e-6)


def test_puct_with_the_same_noise_equals_mctx(monkeypatch):
  keys = keys_like(B, 4)
  noise = np.stack(
    [jax.random.dirichlet(key, jnp.full(K, 0.3)) for key in keys]
  )
  found = ours(policies.Puct, temperature=0)(keys, root())
  run = mctxs(mctx.muzero_policy, temperature=0.0)
  monkeypatch.setattr(jax.random, "dirichlet", lambda *_, **__: noise)
  assert_equal_outputs(found, run(jax.random.key(5), root()))


def test_puct_draws_actions_by_their_visits():
  found = ours(policies.Puct, dirichlet_fraction=0.0)(
    keys_like(2000), root(np.zeros(2000, int))
  )
  actions = np.bincount(found.action, minlength=K) / 2000
  np.testing.assert_allclose(actions, found.action_weights[0], atol=0.04)
  assert not np.ptp(found.action_weights, axis=0).any()


def test_gumbel_without_simulations_samples_the_prior():
  found = ours(policies.Gumbel, num_simulations=0)(
    keys_like(4000), root(np.zeros(4000, int))
  )
  actions = np.bincount(found.action, minlength=K) / 4000
  prior = np.array(jax.nn.softmax(PRIORS[0]))
  np.testing.assert_allclose(actions, prior, atol=0.03)
  np.testing.assert_allclose(found.action_weights[0], prior, atol=1e-5)


@pytest.mark.parametrize("policy", [policies.Gumbel, policies.Puct])
def test_invalid_actions_are_not_taken(policy):
  found = ours(policy)(keys_like(B, 9), root())
  assert np.all(found.search_tree.children_visits[:, 0][INVALID] == 0)
  assert np.all(found.action_weights[INVALID] == 0)
  assert not INVALID[np.arange(B), found.action].any()


def test_improves_on_the_prior_when_values_are_known():
  """Danihelka et al. (2022), section 3: the expected Q does not fall."""
  qvalues = np.random.default_rng(1).random((200, K)).astype(np.float32)
  logits = np.random.default_rng(2).normal(size=(200, K)).astype(np.float32)

  def bandit(params, rng_key, action, embedding):
    del params, rng_key
    q = jnp.asarray(qvalues)[embedding, action]
    zero = jnp.zeros_like(q)
    output = mctx.RecurrentFnOutput(
      reward=q,
      discount=zero,
      prior_logits=jnp.zeros((len(q), K)),
      value=zero,
    )
    return output, embedding

  prior = np.array(jax.nn.softmax(logits))
  before = (prior * qvalues).sum(-1)
  found = searcher(
    bandit, policies.Gumbel(), 8, 1, lambda n: np.zeros((n, K), bool)
  )(
    keys_like(200),
    mctx.RootFnOutput(
      prior_logits=logits, value=before, embedding=np.arange(200)
    ),
  )
  after = (found.action_weights * qvalues).sum(-1)
  assert np.mean(after) > np.mean(before) + 0.1
  played = qvalues[np.arange(200), found.action]
  assert np.mean(played) > np.mean(before) + 0.1


def test_values_of_rewards_in_0_1_are_taken_as_they_are():
  """PUCT by mctx's own transform between the least and the most reward."""
  found = ours(
    policies.Puct, dirichlet_fraction=0.0, temperature=0.0, rescale_values=False
  )(keys_like(B), root())
  expected = mctxs(
    mctx.muzero_policy,
    dirichlet_fraction=0.0,
    temperature=0.0,
    qtransform=functools.partial(
      mctx.qtransform_by_min_max, min_value=0.0, max_value=1.0
    ),
  )(jax.random.key(5), root())
  assert_equal_outputs(found, expected)


def planted(visits, invalid):
  tree = loop.plant(root(11 * np.arange(B, dtype=np.int32)), N, invalid)
  visits = jnp.asarray(visits)
  return tree.replace(children_visits=tree.children_visits.at[:, 0].set(visits))


def test_puct_is_decided_once_the_rest_cannot_catch_up():
  visits = np.zeros((B, K), np.int32)
  visits[:, 1], visits[:, 3] = 9, [2, 3, 4, 5]
  tree = planted(visits, np.zeros((B, K), bool))
  left = jnp.full((B,), 5)
  policy = policies.Puct(temperature=0.0)
  assert policy.is_decided(tree, left).tolist() == [True, True, False, False]
  assert not policies.Puct().is_decided(tree, left).any()  # it draws
  assert not policies.Gumbel().is_decided(tree, left).any()


@pytest.mark.parametrize("policy", [policies.Gumbel(), policies.Puct()])
def test_one_valid_action_is_decided(policy):
  visits = np.int32(~INVALID)
  tree = planted(visits, INVALID)
  one = (~INVALID).sum(-1) <= 1
  assert one.any() and not one.all()
  decided = policy.is_decided(tree, jnp.full((B,), N))
  assert decided.tolist() == one.tolist()
