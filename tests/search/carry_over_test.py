"""Subtrees that are searched on, against a plain-Python search that goes on."""

import dataclasses
import functools

import fake_model
import jax
import numpy as np
import pytest
import toy_searches as shared
import toy_task
import unoptimized

from alphallm.search import context, play, policies, tree_search


@functools.cache
def twice(task, config):
  """Return two searches in a row, the second with what the first left."""

  @unoptimized.jit
  def run(params, keys, problems):
    arguments = (fake_model.apply_fn, task, config, params)
    state = jax.vmap(task.init)(problems)
    begin = jax.vmap(functools.partial(context.initial, task))(problems)
    first = tree_search.search(*arguments, keys[0], state, begin)
    rows = np.arange(len(begin.lengths))
    action = first.line.actions[:, 0]
    step = first.line.tokens[rows, 0, action]
    length = first.line.lengths[rows, 0, action]
    state = jax.vmap(task.step)(state, step, length)
    grown = jax.vmap(functools.partial(context.extend, task))(
      begin, state, step, length
    )
    forest = tree_search.carry(config, first, ~state.terminated)
    second = tree_search.search(
      *arguments, keys[1], state, grown, forest=forest
    )
    return first, forest, second

  return lambda *args: jax.tree.map(np.asarray, run(*args))


@pytest.mark.parametrize(
  ("kind", "permission", "rule", "cache"),
  [
    ("append", "checker", "gumbel", "pages"),
    ("append", "rules", "puct", "pages"),
    ("append", "rules", "gumbel", "recompute"),
    ("reset", "checker", "gumbel", "pages"),
  ],
)
def test_equals_a_search_that_goes_on(kind, permission, rule, cache):
  config = shared.changed(
    permission=permission, cache=cache, carry_over=True, num_simulations=16
  )
  if rule == "puct":
    config = dataclasses.replace(config, policy=shared.PUCT)
  compared = kept = 0
  for seed in range(4):
    problems = shared.toy_problems(seed)
    keys = [shared.keys_like(shared.B, seed + i) for i in range(2)]
    first, forest, second = twice(shared.TASKS[kind], config)(
      shared.PARAMS, keys, problems
    )
    for row in range(shared.B):
      oracle = shared.reference(
        config,
        toy_task.problem_at(problems, row),
        resets=kind == "reset",
        rule=rule,
      )
      if oracle.tied:
        continue
      shared.assert_equal_trees(first, row, oracle)
      if oracle.root.children[oracle.action()].walk["over"]:
        assert forest.size[row] == 0
        continue
      oracle.follow(oracle.action())
      assert forest.size[row] == oracle.held + 1
      spent = second.cost.nodes[row]
      oracle.go_on()
      if oracle.tied:
        continue
      shared.assert_equal_trees(second, row, oracle, moves=1)
      assert spent <= oracle.budget  # The root is not evaluated again.
      compared, kept = compared + 1, kept + oracle.held
  assert compared >= 3 and kept > compared  # more than roots were carried


def test_what_is_over_leaves_nothing():
  config = shared.changed(carry_over=True)
  task = shared.TASKS["append"]
  problems = shared.toy_problems(3)
  keys = [shared.keys_like(shared.B, i) for i in range(2)]
  problems = problems.replace(kind=np.full_like(problems.kind, toy_task.DEAD))
  _, forest, second = twice(task, config)(shared.PARAMS, keys, problems)
  assert forest.size.tolist() == [0] * shared.B
  assert np.all(second.tree.children_visits[:, 0].sum(-1) == 12)


def test_nothing_can_be_carried_past_answers_that_were_not_seen():
  config = shared.changed(permission="nothing", carry_over=True)
  with pytest.raises(ValueError, match="carry_over needs permission"):
    shared.searcher(shared.TASKS["append"], config)(
      shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
    )


@pytest.mark.parametrize("kind", ["append", "reset"])
def test_plays_as_well_for_less(kind):
  """Trees are as large at every move, and cost what is new in them."""
  task = toy_task.Walk(kind, max_steps=8)
  problems = shared.toy_problems(5, size=8)
  problems.kind[:, -1] = toy_task.OPEN  # long games: nothing can be solved
  config = shared.changed(
    num_simulations=16, policy=policies.Gumbel(), permission="rules"
  )

  @functools.partial(unoptimized.jit, static_argnums=0)
  def solve(config, params, keys, problems):
    return play.solve(fake_model.apply_fn, task, config, params, keys, problems)

  results = [
    solve(
      dataclasses.replace(config, carry_over=carries),
      shared.PARAMS,
      shared.keys_like(8),
      problems,
    )
    for carries in (False, True)
  ]
  steps, nodes = (
    np.array([np.mean(get(x)) for x in results])
    for get in (lambda x: x.episode.num_steps, lambda x: x.cost.nodes)
  )
  assert min(steps) > 2
  anew, carried = nodes / steps  # a move
  assert carried < 0.9 * anew
