import dataclasses
import functools

import jax
import numpy as np
import pytest
import random_transformer
import toy_searches as shared
import toy_task
import trees

from alphallm.models import transformer
from alphallm.search import policies, tree_search
from alphallm.tasks import blocks_world


@pytest.mark.parametrize(
  ("context_kind", "permission", "rule"),
  [
    ("append", "checker", "gumbel"),
    ("append", "rules", "gumbel"),
    ("append", "nothing", "gumbel"),
    ("append", "checker", "puct"),
    ("reset", "checker", "gumbel"),
    ("reset", "rules", "puct"),
  ],
)
def test_equals_a_recursive_search(context_kind, permission, rule):
  config = shared.changed(permission=permission)
  if rule == "puct":
    config = dataclasses.replace(config, policy=shared.PUCT)
  run = shared.searcher(shared.TASKS[context_kind], config)
  compared = 0
  for seed in range(3):
    problems = shared.toy_problems(seed)
    move = run(shared.PARAMS, shared.keys_like(shared.B, seed), problems)
    for row in range(shared.B):
      oracle = shared.reference(
        config,
        toy_task.problem_at(problems, row),
        resets=context_kind == "reset",
        rule=rule,
      )
      if not oracle.tied:
        shared.assert_equal_trees(move, row, oracle)
        compared += 1
  assert compared >= (6 if rule == "puct" else 3 * shared.B)


def test_equals_a_recursive_search_with_noise_at_the_root():
  config = shared.changed(
    policy=policies.Gumbel(), prior_temperature=2.0, discount=0.9, max_depth=12
  )
  keys, problems = shared.keys_like(shared.B, 7), shared.toy_problems(7)
  move = shared.searcher(shared.TASKS["append"], config)(
    shared.PARAMS, keys, problems
  )
  for row in range(shared.B):
    noise = jax.random.gumbel(jax.random.fold_in(keys[row], 0), (6,))
    oracle = shared.reference(
      config, toy_task.problem_at(problems, row), noise=np.asarray(noise)
    )
    shared.assert_equal_trees(move, row, oracle)


def test_visits_sum_to_the_budget():
  move = shared.searcher(shared.TASKS["append"], shared.CONFIG)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  visits = move.tree.children_visits[:, 0].sum(axis=-1)
  assert visits.tolist() == [12] * shared.B
  np.testing.assert_allclose(move.line.weights.sum(-1), 1.0, rtol=1e-5)
  assert np.all(move.cost.nodes <= 13)
  # A page is in use for every edge on the way to a node; but what comes after
  # the end of an episode, here 3 steps, need not be read.
  nodes = move.tree.embeddings
  used = (nodes.pages >= 0).sum(axis=-1)
  real = move.tree.node_visits > 0
  np.testing.assert_array_equal(
    used[real], np.minimum(nodes.depth[real], 3 - 1)
  )


@functools.cache
def tiny_transformer(vocab_size):
  config = transformer.TransformerConfig(
    vocab_size=vocab_size,
    num_layers=2,
    embed_dim=16,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    mlp_dim=16,
    mlp="relu2",
  )
  return random_transformer.make(config, scale=0.5)


def test_pages_equal_recompute_in_the_blocks_world():
  """Same tree and candidates, node values and costs, but for the prefill."""
  task = blocks_world.BlocksWorld(max_blocks=3, context="append")
  apply_fn, params = tiny_transformer(task.vocab_size)
  problems = task.sample_numpy(np.random.default_rng(0), shared.B, "train")
  # So that some steps are legal in spite of a random network.
  config = shared.changed(
    num_simulations=8,
    num_candidates=4,
    noise=True,
    policy=policies.Gumbel(),
    rules_propose=True,
  )
  moves = [
    shared.searcher(task, dataclasses.replace(config, cache=cache), apply_fn)(
      params, shared.keys_like(shared.B, 1), problems
    )
    for cache in ("pages", "recompute")
  ]
  trees = [move.tree for move in moves]
  for name in "children_visits", "children_index", "node_visits", "parents":
    np.testing.assert_array_equal(*(getattr(tree, name) for tree in trees))
  for name in "tokens", "lengths", "wins", "depth", "context_length":
    np.testing.assert_array_equal(
      *(getattr(tree.embeddings, name) for tree in trees)
    )
  for name in "node_values", "raw_values", "children_values":
    np.testing.assert_allclose(
      *(getattr(tree, name) for tree in trees), atol=1e-5
    )
  assert (trees[0].embeddings.depth > 1).any()
  np.testing.assert_array_equal(moves[0].cost.decoded, moves[1].cost.decoded)
  # Pages pass what a node adds, a recompute all that leads to it.
  prompt = trees[0].embeddings.context_length[:, 0]
  assert np.all(moves[0].cost.prefilled >= prompt)
  more = moves[1].cost.prefilled > moves[0].cost.prefilled
  np.testing.assert_array_equal(more, moves[0].cost.nodes > 1)


def test_reset_contexts_need_no_pages():
  task = shared.TASKS["reset"]
  moves = [
    shared.searcher(task, shared.changed(cache=cache))(
      shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
    )
    for cache in ("pages", "recompute")
  ]
  assert moves[0].tree.embeddings.pages.size == 0
  assert moves[1].tree.embeddings.context.size == 0
  jax.tree.map(np.testing.assert_array_equal, *moves)


SOLVER = shared.changed(num_simulations=24, play_solution=True)


def test_a_line_that_solves_does_so_when_replayed():
  task, solved, lengths = shared.TASKS["append"], 0, set()
  for seed in range(4):
    problems = shared.toy_problems(seed)
    move = shared.searcher(task, SOLVER)(
      shared.PARAMS, shared.keys_like(shared.B), problems
    )
    line = move.line
    for row in range(shared.B):
      assert line.solves[row] == move.tree.embeddings.wins[row].any()
      if not line.solves[row]:
        assert line.length[row] == 1
        continue
      walk = toy_task.start(None)
      problem = toy_task.problem_at(problems, row)
      for m in range(line.length[row]):
        assert not walk["over"]
        k = line.actions[row, m]
        step = line.tokens[row, m, k, : line.lengths[row, m, k]]
        walk = toy_task.move(problem, walk, step, max_steps=3)
        one_hot = np.eye(6)[k]
        np.testing.assert_array_equal(line.weights[row, m], one_hot)
      assert walk["reward"] == 1
      assert np.all(line.weights[row, line.length[row] :] == 0)
      # The shortest in the tree.
      nodes = move.tree.embeddings
      winning = nodes.wins[row].any(-1)
      assert line.length[row] == 1 + nodes.depth[row][winning].min()
      solved += 1
      lengths.add(int(line.length[row]))
  assert solved >= 4
  assert len(lengths) >= 2


def test_without_play_solution_nothing_is_played_ahead():
  move = shared.searcher(shared.TASKS["append"], shared.CONFIG)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  assert move.line.actions.shape == (shared.B, 1)
  assert not move.line.solves.any()


def test_nothing_comes_from_below_a_terminal_node():
  """Simulations that go on below the end bring neither reward nor value."""
  problems = shared.toy_problems(3)
  # All places but the first are dead ends or goals.
  problems.kind[:, 1:] = np.where(problems.kind[:, 1:] == 2, 2, 1)
  move = shared.searcher(shared.TASKS["append"], shared.CONFIG)(
    shared.PARAMS, shared.keys_like(shared.B), problems
  )
  tree, below = move.tree, 0
  over = tree.embeddings.state.terminated
  for row in range(shared.B):
    for node in np.flatnonzero(over[row] & (tree.node_visits[row] > 0)):
      assert tree.raw_values[row, node] == tree.node_values[row, node] == 0
      assert np.all(tree.children_rewards[row, node] == 0)
      assert np.all(tree.children_discounts[row, node] == 0)
      below += int(tree.children_visits[row, node].sum())
      parent = tree.parents[row, node]
      action = tree.action_from_parent[row, node]
      assert tree.children_discounts[row, parent, action] == 0
  assert below > 0
  # Their passes are not counted.
  live = (~over & (tree.node_visits > 0)).sum(axis=1)
  np.testing.assert_array_equal(move.cost.nodes, live)


def test_without_simulations_the_prior_decides():
  config = shared.changed(num_simulations=0)
  problems = shared.toy_problems(4)
  move = shared.searcher(shared.TASKS["append"], config)(
    shared.PARAMS, shared.keys_like(shared.B), problems
  )
  assert np.all(move.cost.nodes == 1)
  for row in range(shared.B):
    oracle = shared.reference(config, toy_task.problem_at(problems, row))
    best = int(np.argmax(oracle.root.logits))
    assert move.line.actions[row, 0] == best
    np.testing.assert_array_equal(move.line.weights[row, 0], np.eye(6)[best])
    np.testing.assert_allclose(move.value[row], oracle.root.raw, rtol=1e-5)


def repeated(tree, row):
  """Return a batch of one row alone, for a program that wants B rows."""
  return jax.tree.map(lambda x: x[np.full(shared.B, row)], tree)


@pytest.mark.parametrize("policy", [policies.Gumbel(), policies.Puct()])
def test_a_problem_alone_equals_it_in_a_batch(policy):
  config = shared.changed(noise=True, policy=policy, num_simulations=8)
  problems, keys = shared.toy_problems(5), shared.keys_like(shared.B, 5)
  run = shared.searcher(shared.TASKS["append"], config)
  whole = run(shared.PARAMS, keys, problems)
  for row in range(shared.B):
    alone = run(shared.PARAMS, repeated(keys, row), repeated(problems, row))
    trees.assert_near(alone, repeated(whole, row))


@pytest.mark.parametrize("kind", sorted(shared.TASKS))
def test_a_shrinking_batch_changes_nothing(kind):
  problems, keys = shared.toy_problems(6), shared.keys_like(shared.B, 6)
  moves = [
    shared.searcher(
      shared.TASKS[kind], dataclasses.replace(SOLVER, shrink=shrink)
    )(shared.PARAMS, keys, problems)
    for shrink in (0, 1)
  ]
  assert len(set(moves[0].cost.nodes.tolist())) > 1
  trees.assert_near(*moves)


@pytest.mark.parametrize("max_depth", [3, 1])
def test_a_solved_problem_equals_it_beside_an_unsolved_one(max_depth):
  """A row that has its solution is not searched on for its neighbours' sake.

  At `max_depth` a leaf is made anew at every visit: its solution would be lost.
  """
  config = dataclasses.replace(
    SOLVER, max_depth=max_depth, noise=max_depth == 1
  )
  run = shared.searcher(shared.TASKS["append"], config)
  mixed = 0
  for seed in range(1, 4):
    problems, keys = shared.toy_problems(seed), shared.keys_like(shared.B, seed)
    whole = run(shared.PARAMS, keys, problems)
    mixed += whole.line.solves.any() and not whole.line.solves.all()
    for row in range(shared.B):
      alone = run(shared.PARAMS, repeated(keys, row), repeated(problems, row))
      trees.assert_near(alone, repeated(whole, row))
  assert mixed


def test_resets_need_observations():
  search = shared.searcher(
    shared.TASKS["reset"], shared.changed(permission="nothing")
  )
  with pytest.raises(ValueError, match="needs a search with permission"):
    search(shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems())
  # A single move reads only what it is given.
  search = shared.searcher(
    shared.TASKS["reset"],
    shared.changed(permission="nothing", num_simulations=0),
  )
  search(shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems())


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"permission": "all"}, "permission='all' is none of"),
    ({"cache": "none"}, "cache='none' is neither"),
    ({"permission": "nothing", "rules_propose": True}, "rules_propose needs"),
    ({"num_simulations": -1}, "is too small"),
    ({"num_candidates": 0}, "is too small"),
    ({"num_simulations": 0, "carry_over": True}, "carry_over needs num_sim"),
  ],
)
def test_bad_configs(options, message):
  with pytest.raises(ValueError, match=message):
    tree_search.SearchConfig(**options)
