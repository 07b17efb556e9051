import dataclasses
import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import reference_search
import toy_task
import trees
import unoptimized

from alphallm.models import transformer
from alphallm.search import candidates, context, policies, tree_search
from alphallm.tasks import blocks_world

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
  config = changed(permission=permission)
  if rule == "puct":
    config = dataclasses.replace(config, policy=PUCT)
  run = searcher(TASKS[context_kind], config)
  compared = 0
  for seed in range(3):
    problems = toy_problems(seed)
    move = run(PARAMS, keys_like(B, seed), problems)
    for row in range(B):
      oracle = reference(
        config,
        toy_task.problem_at(problems, row),
        resets=context_kind == "reset",
        rule=rule,
      )
      if not oracle.tied:
        assert_equal_trees(move, row, oracle)
        compared += 1
  assert compared >= (6 if rule == "puct" else 3 * B)


def test_equals_a_recursive_search_with_noise_at_the_root():
  config = changed(
    policy=policies.Gumbel(), prior_temperature=2.0, discount=0.9, max_depth=12
  )
  keys, problems = keys_like(B, 7), toy_problems(7)
  move = searcher(TASKS["append"], config)(PARAMS, keys, problems)
  for row in range(B):
    noise = jax.random.gumbel(jax.random.fold_in(keys[row], 0), (6,))
    oracle = reference(
      config, toy_task.problem_at(problems, row), noise=np.asarray(noise)
    )
    assert_equal_trees(move, row, oracle)


def test_visits_sum_to_the_budget():
  move = searcher(TASKS["append"], CONFIG)(PARAMS, keys_like(B), toy_problems())
  visits = move.tree.children_visits[:, 0].sum(axis=-1)
  assert visits.tolist() == [12] * B
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
  problems = task.sample_numpy(np.random.default_rng(0), B, "train")
  # So that some steps are legal in spite of a random network.
  config = changed(
    num_simulations=8,
    num_candidates=4,
    noise=True,
    policy=policies.Gumbel(),
    rules_propose=True,
  )
  moves = [
    searcher(task, dataclasses.replace(config, cache=cache), apply_fn)(
      params, keys_like(B, 1), problems
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
  task = TASKS["reset"]
  moves = [
    searcher(task, changed(cache=cache))(PARAMS, keys_like(B), toy_problems())
    for cache in ("pages", "recompute")
  ]
  assert moves[0].tree.embeddings.pages.size == 0
  assert moves[1].tree.embeddings.context.size == 0
  jax.tree.map(np.testing.assert_array_equal, *moves)


def hidden(task, *names):
  """Return a task whose steps answer with lies in some fields."""

  class Lying(type(task)):
    def step(self, state, tokens, length):
      after = super().step(state, tokens, length)
      return after.replace(
        **{name: jnp.zeros_like(getattr(after, name)) for name in names}
      )

  return Lying(task.context, task.max_steps)


def test_nothing_asks_nothing():
  class Silent(toy_task.Walk):
    def step(self, state, tokens, length):
      raise AssertionError("the search may not ask")

    random_step = step

  config = changed(permission="nothing")
  silent = searcher(Silent("append", max_steps=3), config)(
    PARAMS, keys_like(B), toy_problems()
  )
  plain = searcher(TASKS["append"], config)(
    PARAMS, keys_like(B), toy_problems()
  )
  jax.tree.map(np.testing.assert_array_equal, silent, plain)


def test_rules_do_not_tell_the_reward():
  config = changed(permission="rules")
  blind = searcher(hidden(TASKS["append"], "reward"), config)(
    PARAMS, keys_like(B), toy_problems()
  )
  plain = searcher(TASKS["append"], config)(
    PARAMS, keys_like(B), toy_problems()
  )
  np.testing.assert_array_equal(
    blind.tree.children_visits, plain.tree.children_visits
  )
  near = functools.partial(np.testing.assert_allclose, atol=1e-6)
  near(blind.tree.node_values, plain.tree.node_values)
  near(blind.line.weights, plain.line.weights, atol=1e-5)
  assert not plain.tree.embeddings.wins.any()
  told = searcher(TASKS["append"], CONFIG)(PARAMS, keys_like(B), toy_problems())
  assert np.any(told.tree.node_values != plain.tree.node_values)


def after_candidates(move, problems, row, node=0):
  """Return where the candidates of a node lead, in plain Python."""
  nodes = move.tree.embeddings
  problem = toy_task.problem_at(problems, row)
  walk = {
    "place": int(nodes.state.inner.place[row, node]),
    "moves": int(nodes.state.inner.moves[row, node]),
    "over": bool(nodes.state.terminated[row, node]),
    "legal": bool(nodes.state.legal[row, node]),
  }
  return [
    toy_task.move(
      problem,
      walk,
      nodes.tokens[row, node, k, : nodes.lengths[row, node, k]],
      max_steps=3,
    )
    for k in range(nodes.lengths.shape[-1])
  ]


def test_illegal_steps_get_no_weight_and_equal_ones_are_one():
  problems = toy_problems(1)
  move = searcher(TASKS["append"], changed(permission="rules"))(
    PARAMS, keys_like(B), problems
  )
  kinds = set()
  for row in range(B):
    seen, afters = set(), after_candidates(move, problems, row)
    stuck = not any(after["legal"] for after in afters)
    for k, after in enumerate(afters):
      weight = move.line.weights[row, 0, k]
      visits = move.tree.children_visits[row, 0, k]
      usable = after["legal"] and after["place"] not in seen
      kinds.add((after["legal"], after["place"] in seen))
      assert (weight > 0) == usable
      assert usable or visits == 0 or stuck
      seen.add(after["place"]) if after["legal"] else None
  assert len(kinds) >= 3  # usable, illegal and repeated ones occurred


def test_no_legal_candidate_gives_no_weights():
  problems = toy_problems(1)
  problems = problems.replace(legal=np.zeros_like(problems.legal))
  move = searcher(TASKS["append"], changed(permission="rules"))(
    PARAMS, keys_like(B), problems
  )
  assert np.all(move.line.weights == 0)
  assert np.all(np.isfinite(move.value))
  jax.tree.map(
    lambda x: np.testing.assert_array_equal(np.isnan(x), False),
    move.tree.node_values,
  )


def test_rules_propose_where_no_candidate_is_legal():
  """Random legal steps, equally likely, and only where they are needed."""
  away = np.zeros((toy_task.TOKENIZER.vocab_size,) * 2, np.float32)
  away[:, toy_task.LETTER_IDS] = -30.0  # this network never writes a step
  params = {**PARAMS, "bias": away}
  problems, task = toy_problems(2), TASKS["append"]
  for config in changed(rules_propose=True), changed():
    move = searcher(task, config)(params, keys_like(B), problems)
    for row in range(B):
      after = after_candidates(move, problems, row)
      legal = [walk["legal"] for walk in after]
      assert legal == [config.rules_propose] * 6
    assert np.all((move.line.weights.sum(-1) > 0) == config.rules_propose)
  with_help = searcher(task, changed(rules_propose=True))(
    PARAMS, keys_like(B), problems
  )
  plain = searcher(task, changed())(PARAMS, keys_like(B), problems)
  root = plain.tree.children_prior_logits[:, 0]
  rows = (root > candidates.IMPOSSIBLE / 2).any(-1)
  assert rows.any()
  np.testing.assert_array_equal(
    with_help.tree.embeddings.tokens[rows, 0],
    plain.tree.embeddings.tokens[rows, 0],
  )


SOLVER = changed(num_simulations=24, play_solution=True)


def test_a_line_that_solves_does_so_when_replayed():
  task, solved, lengths = TASKS["append"], 0, set()
  for seed in range(4):
    problems = toy_problems(seed)
    move = searcher(task, SOLVER)(PARAMS, keys_like(B), problems)
    line = move.line
    for row in range(B):
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
  move = searcher(TASKS["append"], CONFIG)(PARAMS, keys_like(B), toy_problems())
  assert move.line.actions.shape == (B, 1)
  assert not move.line.solves.any()


def test_nothing_comes_from_below_a_terminal_node():
  """Simulations that go on below the end bring neither reward nor value."""
  problems = toy_problems(3)
  # All places but the first are dead ends or goals.
  problems.kind[:, 1:] = np.where(problems.kind[:, 1:] == 2, 2, 1)
  move = searcher(TASKS["append"], CONFIG)(PARAMS, keys_like(B), problems)
  tree, below = move.tree, 0
  over = tree.embeddings.state.terminated
  for row in range(B):
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
  config = changed(num_simulations=0)
  problems = toy_problems(4)
  move = searcher(TASKS["append"], config)(PARAMS, keys_like(B), problems)
  assert np.all(move.cost.nodes == 1)
  for row in range(B):
    oracle = reference(config, toy_task.problem_at(problems, row))
    best = int(np.argmax(oracle.root.logits))
    assert move.line.actions[row, 0] == best
    np.testing.assert_array_equal(move.line.weights[row, 0], np.eye(6)[best])
    np.testing.assert_allclose(move.value[row], oracle.root.raw, rtol=1e-5)


def repeated(tree, row):
  """Return a batch of one row alone, for a program that wants B rows."""
  return jax.tree.map(lambda x: x[np.full(B, row)], tree)


@pytest.mark.parametrize("policy", [policies.Gumbel(), policies.Puct()])
def test_a_problem_alone_equals_it_in_a_batch(policy):
  config = changed(noise=True, policy=policy, num_simulations=8)
  problems, keys = toy_problems(5), keys_like(B, 5)
  run = searcher(TASKS["append"], config)
  whole = run(PARAMS, keys, problems)
  for row in range(B):
    alone = run(PARAMS, repeated(keys, row), repeated(problems, row))
    trees.assert_near(alone, repeated(whole, row))


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_a_shrinking_batch_changes_nothing(kind):
  problems, keys = toy_problems(6), keys_like(B, 6)
  moves = [
    searcher(TASKS[kind], dataclasses.replace(SOLVER, shrink=shrink))(
      PARAMS, keys, problems
    )
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
  run = searcher(TASKS["append"], config)
  mixed = 0
  for seed in range(1, 4):
    problems, keys = toy_problems(seed), keys_like(B, seed)
    whole = run(PARAMS, keys, problems)
    mixed += whole.line.solves.any() and not whole.line.solves.all()
    for row in range(B):
      alone = run(PARAMS, repeated(keys, row), repeated(problems, row))
      trees.assert_near(alone, repeated(whole, row))
  assert mixed


def test_resets_need_observations():
  search = searcher(TASKS["reset"], changed(permission="nothing"))
  with pytest.raises(ValueError, match="needs a search with permission"):
    search(PARAMS, keys_like(B), toy_problems())
  # A single move reads only what it is given.
  search = searcher(
    TASKS["reset"], changed(permission="nothing", num_simulations=0)
  )
  search(PARAMS, keys_like(B), toy_problems())


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
