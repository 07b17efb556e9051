"""Searches of the toy task, and their plain-Python trees."""

import dataclasses
import functools

import fake_model
import jax
import numpy as np
import reference_search
import toy_task
import unoptimized

from alphallm.search import candidates, context, policies, tree_search

B = 4  # rows of every search, so that programs are shared
CONFIG = tree_search.SearchConfig(
  num_simulations=12,
  num_candidates=6,
  max_depth=3,
  noise=False,
  play_solution=False,
  policy=policies.Gumbel(gumbel_scale=0.0),
)
PUCT = policies.Puct(dirichlet_fraction=0.0, temperature=0.0)
TASKS = {name: toy_task.Walk(name, max_steps=3) for name in ("append", "reset")}
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)


@functools.cache
def searcher(task, config, apply_fn=fake_model.apply_fn):
  """Return `f(params, keys, problems)`, jitted, from the initial states."""

  @unoptimized.jit
  def run(params, keys, problems):
    state = jax.vmap(task.init)(problems)
    begin = jax.vmap(functools.partial(context.initial, task))(problems)
    move = tree_search.search(
      apply_fn, task, config, params, keys, state, begin
    )
    return move.replace(cache=None)  # It holds pages that belong to no node.

  return lambda *args: jax.tree.map(np.asarray, run(*args))


def keys_like(n, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def toy_problems(seed=0, size=B):
  return TASKS["append"].sample_numpy(np.random.default_rng(seed), size)


def changed(**options):
  return dataclasses.replace(CONFIG, **options)


def reference(
  config, problem, *, resets=False, rule="gumbel", noise=None, **options
):
  return reference_search.Search(
    params=PARAMS,
    problem=problem,
    permission=config.permission,
    num_simulations=config.num_simulations,
    num_candidates=config.num_candidates,
    max_depth=config.depth,
    max_steps=3,
    discount=config.discount,
    prior_temperature=config.prior_temperature,
    rollout_steps=config.rollout_steps,
    rollout_weight=config.rollout_weight,
    process_weight=config.process_weight,
    resets=resets,
    rule=rule,
    noise=noise,
    **options,
  ).run()


def assert_equal_trees(move, row, oracle, *, moves=0):
  """Compare one row of a search, after some moves, with a plain-Python tree."""
  tree = move.tree
  visited = {0, *tree.children_index[row][tree.children_index[row] > 0]}
  assert visited == set(oracle.nodes)
  for index, node in oracle.nodes.items():
    nodes = tree.embeddings
    assert nodes.depth[row, index] == node.depth
    if node.depth + moves > 3:  # Below every end: there is no story.
      assert node.value == tree.node_values[row, index] == 0
      continue
    for k, step in enumerate(node.steps):
      length = nodes.lengths[row, index, k]
      assert tuple(nodes.tokens[row, index, k, :length]) == step
    assert nodes.wins[row, index].tolist() == node.wins
    np.testing.assert_array_equal(tree.children_visits[row, index], node.visits)
    near = functools.partial(np.testing.assert_allclose, atol=2e-5, rtol=2e-5)
    near(tree.raw_values[row, index], node.raw)
    near(tree.node_values[row, index], node.value)
    for action, child in node.children.items():
      assert tree.children_index[row, index, action] == child.index
      near(tree.children_rewards[row, index, action], child.reward)
      near(tree.children_discounts[row, index, action], child.discount)
    legal = node.logits > reference_search.MASKED / 2
    logits = tree.children_prior_logits[row, index]
    assert np.all(logits[~legal] < candidates.IMPOSSIBLE / 2)
    shift = np.max(node.logits) if index == 0 and legal.any() else 0.0
    near(logits[legal], node.logits[legal] - shift, atol=1e-4)
  assert move.line.actions[row, 0] == oracle.action()
  np.testing.assert_allclose(
    move.line.weights[row, 0], oracle.improved(), atol=1e-4
  )
  near(move.value[row], oracle.root.value)
  near(move.raw_value[row], oracle.root.raw)
