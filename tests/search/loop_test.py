"""The loop over simulations against `mctx.search`."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
import unoptimized
from walk import INVALID, PRIORS, VALUES, B, K, step

from alphallm.search import loop

RNG = np.random.default_rng(1)
SELECT = {
  "puct": (
    functools.partial(mctx.muzero_action_selection, depth=0),
    mctx.muzero_action_selection,
  ),
  "gumbel": (
    functools.partial(
      mctx.gumbel_muzero_root_action_selection,
      num_simulations=40,
      max_num_considered_actions=K,
    ),
    mctx.gumbel_muzero_interior_action_selection,
  ),
}


def evaluate(shared, visit, place, carry):
  del shared, carry
  return *step(None, None, visit.action, place), ()


def count(carry, visit, note):
  """Keep in mind which node was made when."""
  del note
  times, sim = carry
  node = jnp.where(visit.active, visit.node, times.shape[1])
  times = times.at[jnp.arange(B), node].set(sim, mode="drop")
  return times, sim + 1


def search_like(kind, num_simulations, max_depth):
  """Return the arguments of `mctx.search`."""
  place = 11 * np.arange(B, dtype=np.int32)
  root_fn, interior_fn = SELECT[kind]
  return dict(
    root=mctx.RootFnOutput(
      prior_logits=PRIORS[place], value=VALUES[place], embedding=place
    ),
    root_action_selection_fn=root_fn,
    interior_action_selection_fn=interior_fn,
    num_simulations=num_simulations,
    max_depth=max_depth,
    invalid_actions=jnp.float32(INVALID),
    extra_data=mctx.GumbelMuZeroExtraData(
      root_gumbel=RNG.normal(size=(B, K)).astype(np.float32)
    ),
  )


def ours(arguments, **options):
  names = ("root", "num_simulations", "invalid_actions", "extra_data")
  tree = loop.plant(*(arguments[name] for name in names))
  times = jnp.full((B, tree.num_simulations + 1), -1)
  rest = {k: v for k, v in arguments.items() if k not in names}
  rest = {
    "expand_fn": evaluate,
    "absorb_fn": count,
    "carry": (times, jnp.int32(1)),
    **rest,
    **options,
  }
  return unoptimized.jit(lambda keys: loop.search(keys, tree, **rest))(
    jax.random.split(jax.random.key(1), B)
  )


def assert_equal_trees(found, expected):
  """Compare all of two trees; values may be rounded otherwise."""

  def compare(a, b):
    if np.issubdtype(a.dtype, np.floating):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    else:
      np.testing.assert_array_equal(a, b)

  jax.tree.map(compare, found, expected)


@pytest.mark.parametrize("kind", ["gumbel", "puct"])
@pytest.mark.parametrize("max_depth", [1, 2, 40])
def test_finds_the_trees_of_mctx(kind, max_depth):
  shared = search_like(kind, 40, max_depth)
  found, (times, sim) = ours(shared)
  expected = unoptimized.jit(
    lambda key: mctx.search(None, key, recurrent_fn=step, **shared)
  )(jax.random.key(2))
  assert_equal_trees(found, expected)
  assert sim == 41
  if max_depth == 40:
    assert times[:, 1:].tolist() == [list(range(1, 41))] * B
  else:  # The last edge leads to a node that is made again.
    assert np.max(found.node_visits[:, 1:]) > 1 and np.any(times < 0)


def test_a_depth_may_be_traced():
  shared = search_like("gumbel", 12, 3)
  traced = ours(shared, max_depth=jnp.int32(3))
  assert_equal_trees(traced[0], ours(shared)[0])


def test_a_budget_ends_the_search_of_each_tree():
  shared = search_like("puct", 12, 12)
  budget = np.array([0, 3, 12, 7])
  found, (times, sim) = ours(shared, budget=budget)
  assert sim == 13
  for row, n in enumerate(budget):
    assert np.sum(times[row] > 0) == n
    fewer, _ = ours(shared, budget=np.full(B, n))
    at_row = lambda tree, row=row: jax.tree.map(lambda x: x[row], tree)
    assert_equal_trees(at_row(found), at_row(fewer))


def test_a_tree_that_is_done_rests():
  shared = search_like("gumbel", 12, 12)
  late = np.array([2, 5, 9, 4])
  found, (times, sim) = ours(
    shared, is_done=lambda tree, carry, left: carry[1] > late
  )
  assert sim == 10  # The loop ended when the last was done.
  expected, _ = ours(shared, budget=late)
  assert_equal_trees(found, expected)
  assert np.sum(times > 0, axis=1).tolist() == late.tolist()


def test_no_simulations_leave_the_root():
  tree, (_, sim) = ours(search_like("puct", 0, 1))
  assert sim == 1 and tree.node_visits.tolist() == [[1]] * B


def test_a_smaller_batch_finds_the_same_trees():
  shared = search_like("gumbel", 12, 12)
  late = np.array([2, 5, 9, 4])

  def walk(start, visit, place, carry):
    del carry
    return *step(None, None, visit.action, place + start), ()

  options = dict(
    expand_fn=walk,
    absorb_fn=lambda carry, visit, note: (carry[0] + visit.active, carry[1]),
    shared=np.arange(B, dtype=np.int32),
    carry=(np.zeros(B, np.int32), late),
    is_done=lambda tree, carry, left: carry[0] >= carry[1],
  )
  whole, (visits, _) = ours(shared, **options)
  assert visits.tolist() == late.tolist()
  for sizes in ((2,), (3, 2, 1), (1,)):
    found, carry = ours(shared, sizes=sizes, **options)
    assert_equal_trees((found, carry), (whole, (visits, late)))


def test_width_k_visits_all_actions_in_a_round():
  """One round of halving: each valid action once, as one after the other."""
  shared = search_like("gumbel", K, 12)
  narrow, wide = ours(shared)[0], ours(shared, width=K)[0]
  for row in range(B):
    if INVALID[row].any():
      continue  # fewer actions: the round goes on below them
    np.testing.assert_array_equal(
      wide.children_visits[row, 0], narrow.children_visits[row, 0]
    )
    np.testing.assert_allclose(
      wide.children_values[row, 0], narrow.children_values[row, 0], rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["gumbel", "puct"])
@pytest.mark.parametrize("max_depth", [2, 40])
def test_wide_trees_are_whole(kind, max_depth):
  """Budgets are spent exactly, and all visits and values are backed up."""
  budget = np.array([0, 7, 40, 25])
  shared = search_like(kind, 40, max_depth)
  tree, _ = ours(shared, width=6, budget=budget)
  tree = jax.tree.map(np.asarray, tree)
  assert tree.children_visits[:, 0].sum(-1).tolist() == budget.tolist()
  visited = tree.node_visits > 0
  below = tree.children_visits.sum(-1)
  for row, node in np.argwhere(visited):
    if not below[row, node]:
      continue
    assert tree.node_visits[row, node] == 1 + below[row, node]
    children = tree.children_index[row, node]
    q = tree.children_rewards + tree.children_discounts * tree.children_values
    mean = tree.raw_values[row, node]
    mean += np.sum(tree.children_visits[row, node] * q[row, node])
    np.testing.assert_allclose(
      tree.node_values[row, node], mean / (1 + below[row, node]), rtol=1e-4
    )
    for action, child in enumerate(children):
      if child > 0:
        assert tree.parents[row, child] == node
        assert tree.action_from_parent[row, child] == action
  if max_depth == 40:
    assert visited.sum(-1).tolist() == (budget + 1).tolist()


def test_width_one_is_what_it_was():
  with pytest.raises(ValueError, match="width 1"):
    ours(search_like("puct", 4, 4), width=2, sizes=(2,))
