"""Trees that are grown anew, against one search after the other."""

import dataclasses
import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_searches as shared
import unoptimized

from alphallm.search import context, open_edges, tree_search

TASK = shared.TASKS["append"]
CONFIG = shared.changed(
  num_simulations=24, num_candidates=2, noise=True, play_solution=True
)


@functools.cache
def searcher(config):
  """Return `f(keys, problems, budget)`, with how many edges are open."""

  @unoptimized.jit
  def run(params, keys, problems, budget):
    state = jax.vmap(TASK.init)(problems)
    begin = jax.vmap(functools.partial(context.initial, TASK))(problems)
    move = tree_search.search(
      fake_model.apply_fn,
      TASK,
      config,
      params,
      keys,
      state,
      begin,
      dials=config.dials(num_simulations=budget),
    )
    return move, open_edges.of_tree(move.tree, config.depth)

  return lambda *args: jax.tree.map(np.asarray, run(shared.PARAMS, *args))


def one_after_the_other(keys, problems):
  """Return of each problem what its tree is, and what all have cost."""
  left = np.full(shared.B, CONFIG.num_simulations, np.int32)
  kept, nodes, tries = None, np.zeros(shared.B, int), 0
  while tries == 0 or left.any():
    own = keys
    if tries:
      own = jnp.stack([jax.random.fold_in(key, tries) for key in keys])
    move, num_open = searcher(CONFIG)(own, problems, left)
    if kept is None:
      kept = [(move, row) for row in range(shared.B)]
    for row in range(shared.B):
      if tries and not left[row]:
        continue
      nodes[row] += move.cost.nodes[row]
      if move.line.solves[row]:
        kept[row] = move, row
      ends = move.line.solves[row] or num_open[row] > 0
      used = move.tree.node_visits[row, 0]
      left[row] = 0 if ends else max(0, left[row] - used)
    tries += 1
  return kept, nodes, tries


def test_equals_one_search_after_the_other():
  anew = dataclasses.replace(CONFIG, replant=True)
  budget = np.full(shared.B, CONFIG.num_simulations, np.int32)
  solved, most_tries = np.zeros(2, int), 0
  for seed in range(4):
    keys, problems = shared.keys_like(shared.B, seed), shared.toy_problems(seed)
    found, _ = searcher(anew)(keys, problems, budget)
    kept, nodes, tries = one_after_the_other(keys, problems)
    most_tries = max(most_tries, tries)
    np.testing.assert_array_equal(found.cost.nodes, nodes)
    assert np.all(nodes <= CONFIG.num_simulations + 1)
    for row, (move, _) in enumerate(kept):
      own = lambda tree, row=row: jax.tree.map(lambda x: x[row], tree)
      jax.tree.map(
        np.testing.assert_array_equal,
        own((found.line, found.value, found.tree.children_visits)),
        own((move.line, move.value, move.tree.children_visits)),
      )
    plain, _ = searcher(CONFIG)(keys, problems, budget)
    solved += [plain.line.solves.sum(), found.line.solves.sum()]
    assert np.all(found.line.solves >= plain.line.solves)
  assert most_tries > 2
  assert solved[1] > solved[0]


def test_no_budget_is_one_root():
  anew = dataclasses.replace(CONFIG, replant=True)
  found, _ = searcher(anew)(
    shared.keys_like(shared.B), shared.toy_problems(), np.zeros(shared.B, int)
  )
  np.testing.assert_array_equal(found.cost.nodes, 1)


def test_what_does_not_know_its_end_is_refused():
  for options in (
    {"permission": "rules"},
    {"play_solution": False},
    {"carry_over": True},
  ):
    with pytest.raises(ValueError, match="replant needs permission"):
      dataclasses.replace(CONFIG, replant=True, **options)


def test_a_root_without_a_budget_is_played_by_its_prior():
  config = shared.changed(policy=shared.PUCT)
  found, _ = searcher(config)(
    shared.keys_like(shared.B), shared.toy_problems(), np.zeros(shared.B, int)
  )
  prior = found.tree.children_prior_logits[:, 0]
  np.testing.assert_array_equal(found.line.actions[:, 0], prior.argmax(-1))
