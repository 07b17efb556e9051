"""What holds of every search, on trees drawn by Hypothesis."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import mctx
import numpy as np
import unoptimized
from hypothesis import strategies

from alphallm.search import loop, policies

B, K, DEPTH = 3, 4, 3
NODES = sum(K**d for d in range(DEPTH + 1))  # of the whole tree, in heap order
SEEDS = strategies.integers(0, 2**31 - 1)
# Programs are shared by the examples of a test.
settings = hypothesis.settings(
  max_examples=25,
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def world(seed):
  """Return rewards of the leaves in {0, 1}, priors and values, of B trees."""
  rng = np.random.default_rng(seed)
  return {
    "reward": (rng.random((B, NODES)) < 0.2).astype(np.float32),
    "prior": rng.normal(size=(B, NODES, K)).astype(np.float32),
    "value": rng.random((B, NODES)).astype(np.float32),
  }


@functools.cache
def searcher(policy, num_simulations):
  """Return `f(world, budget, keys) -> (tree, action, weights)`, jitted."""

  def expand(world, visit, place, carry):
    del carry
    rows = jnp.arange(place.shape[0])
    # Past the leaves all stay where they are.
    inner = place < NODES - K**DEPTH
    child = jnp.where(inner, K * place + 1 + visit.action, place)
    is_leaf = child >= NODES - K**DEPTH
    going_on = (~is_leaf).astype(jnp.float32)
    output = mctx.RecurrentFnOutput(
      reward=jnp.where(inner & is_leaf, world["reward"][rows, child], 0.0),
      discount=going_on,
      prior_logits=world["prior"][rows, child],
      value=going_on * world["value"][rows, child],
    )
    return output, child, ()

  @unoptimized.jit
  def run(world, budget, keys):
    zeros = jnp.zeros((len(keys),), jnp.int32)
    invalid = jnp.zeros((len(keys), K), bool)
    root, extra = policy.prepare(
      keys,
      mctx.RootFnOutput(
        prior_logits=world["prior"][:, 0],
        value=world["value"][:, 0],
        embedding=zeros,
      ),
      invalid,
      budget,
      num_simulations=num_simulations,
      visits=jnp.zeros((len(keys), K), jnp.int32),
    )
    tree, _ = loop.search(
      keys,
      loop.plant(root, num_simulations, invalid, extra),
      expand_fn=expand,
      root_action_selection_fn=policy.choose_at_root,
      interior_action_selection_fn=policy.choose_below,
      max_depth=DEPTH,
      budget=budget,
      shared=world,
    )
    return tree, *policy.decide(keys, tree)

  return run


GUMBEL = policies.Gumbel(gumbel_scale=0.0)
PUCT = policies.Puct(dirichlet_fraction=0.0, temperature=0.0)
KEYS = jax.random.split(jax.random.key(0), B)


def full(n):
  return np.full((B,), n, np.int32)


@settings
@hypothesis.given(
  seed=SEEDS,
  policy=strategies.sampled_from([GUMBEL, PUCT]),
  budget=strategies.integers(1, 24),
)
def test_visits_and_values(seed, policy, budget):
  """Visits add up to the budget, below every node too; values are in [0, 1]."""
  tree, action, weights = searcher(policy, 24)(world(seed), full(budget), KEYS)
  tree = jax.tree.map(np.asarray, tree)
  assert tree.children_visits[:, 0].sum(-1).tolist() == [budget] * B
  visited = tree.node_visits > 0
  assert np.all(visited.sum(-1) <= budget + 1)
  below = tree.children_visits.sum(-1)
  inner = visited & (below > 0)
  assert np.all(tree.node_visits[inner] == below[inner] + 1)
  for values in tree.node_values[visited], tree.children_values:
    assert np.all((values >= 0) & (values <= 1 + 1e-6))
  np.testing.assert_allclose(np.sum(weights, -1), 1, rtol=1e-5)
  assert np.all((np.asarray(action) >= 0) & (np.asarray(action) < K))


@settings
@hypothesis.given(seed=SEEDS, policy=strategies.sampled_from([GUMBEL, PUCT]))
def test_a_problem_alone_is_as_in_a_batch(seed, policy):
  whole = searcher(policy, 24)(world(seed), full(24), KEYS)
  for row in range(B):
    again = lambda x, row=row: np.repeat(np.asarray(x)[row : row + 1], B, 0)
    alone = searcher(policy, 24)(
      jax.tree.map(again, world(seed)), full(24), jnp.stack([KEYS[row]] * B)
    )
    expected = jax.tree.map(again, whole)
    near = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(near, alone, expected)


@settings
@hypothesis.given(seed=SEEDS)
def test_the_improved_policy_is_worth_more_than_the_prior(seed):
  """Danihelka et al. (2022), section 3, where Q is known: leaves one step away.

  All actions are visited, and none of their values changes with a visit.
  """
  drawn = world(seed)
  drawn["value"][:] = np.random.default_rng(seed).random((B, NODES))
  tree, _, weights = searcher(GUMBEL, K)(drawn, full(K), KEYS)
  q = np.asarray(tree.children_values[:, 0])  # all there is to know
  assert np.all(np.asarray(tree.children_visits[:, 0]) == 1)
  prior = np.asarray(jax.nn.softmax(drawn["prior"][:, 0], axis=-1))
  before, after = (np.sum(p * q, -1) for p in (prior, np.asarray(weights)))
  assert np.all(after >= before - 1e-5)


def test_more_simulations_do_not_play_worse():
  """The share of optimal moves, over 300 trees, by budget."""
  for policy in GUMBEL, PUCT:
    shares = []
    for budget in (4, 16, 64):
      right = 0
      for seed in range(100):
        drawn = world(seed)
        _, action, _ = searcher(policy, 64)(drawn, full(budget), KEYS)
        leaves = drawn["reward"][:, NODES - K**DEPTH :]
        best = leaves.reshape(B, K, -1).max(-1)  # of each action at the root
        right += np.sum(best[np.arange(B), np.asarray(action)] == best.max(-1))
      shares.append(right / (100 * B))
    assert shares[0] <= shares[1] + 0.01 and shares[1] <= shares[2] + 0.01
    assert shares[2] > 0.97
