"""Nodes of a tree against the plain-Python tree, and replayed steps."""

import functools

import jax
import numpy as np
import pytest
import toy_searches as shared
import toy_task
import unoptimized

from alphallm.search import context, tree_search, visited


def lengths_of_ways(node):
  """Return the length and the first action of the ways to solve that exist."""
  ways = [(1, action) for action, wins in enumerate(node.wins) if wins]
  for action, child in node.children.items():
    ways += [(1 + length, action) for length, _ in lengths_of_ways(child)]
  return ways


@pytest.mark.parametrize(
  "kind", ["reset", pytest.param("append", marks=pytest.mark.slow)]
)
def test_nodes_of_a_tree(kind):
  task, config = shared.TASKS[kind], shared.CONFIG
  problems = shared.toy_problems()

  @unoptimized.jit
  def run(params, keys, problems):
    state = jax.vmap(task.init)(problems)
    begin = jax.vmap(functools.partial(context.initial, task))(problems)
    found = tree_search.search(
      shared.fake_model.apply_fn, task, config, params, keys, state, begin
    )
    return found.replace(cache=None), visited.nodes(task, found.tree, begin)

  move, nodes = jax.tree.map(
    np.asarray, run(shared.PARAMS, shared.keys_like(shared.B), problems)
  )
  seen = solved = 0
  for row in range(shared.B):
    problem = toy_task.problem_at(problems, row)
    oracle = shared.reference(config, problem, resets=kind == "reset")
    if oracle.tied:
      continue
    shared.assert_equal_trees(move, row, oracle)
    total = 1 + len(oracle.root.returns)
    exists = move.tree.node_visits[row] > 0
    assert set(np.flatnonzero(exists)) == set(oracle.nodes)
    for index, node in oracle.nodes.items():
      legal = node.logits > shared.reference_search.MASKED / 2
      is_open = not node.walk["over"] and legal.any()
      assert nodes.mask[row, index] == is_open
      if not is_open:
        continue
      seen += 1
      text = nodes.context[row, index, : nodes.end[row, index]]
      assert text.tolist() == list(node.context)
      np.testing.assert_array_equal(nodes.visits[row, index], node.visits)
      after = [oracle.step(node.walk, step) for step in node.steps]
      np.testing.assert_array_equal(
        nodes.illegal[row, index], [not walk["legal"] for walk in after]
      )
      np.testing.assert_allclose(
        nodes.share[row, index], (1 + len(node.returns)) / total, rtol=1e-6
      )
      np.testing.assert_allclose(nodes.value[row, index], node.value, rtol=1e-4)
      np.testing.assert_allclose(nodes.weights[row, index].sum(), 1, rtol=1e-5)
      assert not np.any(nodes.weights[row, index][~legal])
      ways = lengths_of_ways(node)
      least = min(ways, default=None, key=lambda way: way[0])
      assert nodes.num_left[row, index] == (least[0] if least else 0)
      chosen = np.flatnonzero(nodes.solution[row, index])
      if least:
        solved += 1
        (action,) = chosen
        assert (least[0], action) in ways
      else:
        assert not len(chosen)
      for action, child in node.children.items():
        q = child.reward + child.discount * child.value
        np.testing.assert_allclose(
          nodes.qvalues[row, index, action], q, atol=1e-5
        )
    # The root's policy is what the search says of it.
    np.testing.assert_allclose(
      nodes.weights[row, 0], move.line.weights[row, 0], atol=1e-5
    )
  assert seen > 10 and solved > 2
