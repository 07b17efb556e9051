"""Trees that hold all that their candidates can bring rest."""

import dataclasses

import numpy as np
import pytest
import toy_searches as shared

from alphallm.search import open_edges

BUDGET, DEPTH = 24, 2


def candidates_of(tree, row, node):
  """Return which candidates of a node are legal, by their priors."""
  return tree.children_prior_logits[row, node] > -1e8


def edges_to_follow(tree, row):
  """Count, in plain Python, the edges that lead to something new."""
  count, nodes = 0, tree.embeddings
  for node in np.flatnonzero(tree.node_visits[row]):
    ended = nodes.state.terminated[row, node]
    if not ended and nodes.depth[row, node] < DEPTH:
      unvisited = tree.children_index[row, node] < 0
      count += np.sum(candidates_of(tree, row, node) & unvisited)
  return count


@pytest.mark.parametrize("kind", ["append", "reset"])
@pytest.mark.parametrize(
  "options", [{}, {"width": 3}, {"policy": shared.PUCT}], ids=str
)
def test_a_tree_rests_when_nothing_is_open(kind, options):
  config = shared.changed(
    num_simulations=BUDGET, num_candidates=3, max_depth=DEPTH, **options
  )
  stops = shared.searcher(
    shared.TASKS[kind], dataclasses.replace(config, play_solution=True)
  )
  goes_on = shared.searcher(shared.TASKS[kind], config)
  rested = 0
  for seed in range(3):
    arguments = (
      shared.PARAMS,
      shared.keys_like(shared.B, seed),
      shared.toy_problems(seed),
    )
    short, whole = stops(*arguments), goes_on(*arguments)
    left = open_edges.of_tree(short.tree, DEPTH)
    for row in range(shared.B):
      assert left[row] == edges_to_follow(short.tree, row)
      if np.any(short.tree.embeddings.wins[row]):
        continue
      used = short.tree.node_visits[row, 0] - 1
      assert (used < BUDGET) <= (left[row] == 0)
      if used < BUDGET:
        # What follows makes the deepest nodes again, and finds nothing.
        rested += 1
        assert short.cost.decoded[row] <= whole.cost.decoded[row]
        assert not np.any(whole.tree.embeddings.wins[row])
  assert rested >= 3
