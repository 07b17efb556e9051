"""Tests of the searchers: what they visit, and when they stop."""

import numpy as np
import pytest

from alphallm.initialization import games, searchers

GAME = games.Countdown((25, 3, 8), 14, 999)
HARD = games.Countdown((1, 1, 1), 99, 999)


def run(searcher, game=GAME, width=3, max_visits=50):
  rng = np.random.default_rng(0)
  return searcher(game, "sum", rng, width=width, max_visits=max_visits)


def nodes(tree, depth=0):
  yield tree, depth
  for child in tree["children"]:
    yield from nodes(child, depth + 1)


@pytest.fixture(params=[searchers.depth_first, searchers.breadth_first])
def searcher(request):
  return request.param


def test_a_search_ends_at_its_first_solution(searcher):
  found = [node for node, _ in nodes(run(searcher, width=9))]
  assert [n["order"] for n in found if n["solved"]] == [len(found) - 1]
  assert sorted(n["order"] for n in found) == list(range(len(found)))


def test_the_best_ways_are_taken_first(searcher):
  tree = run(searcher, game=HARD, width=2)
  for node, depth in nodes(tree):
    assert len(node["children"]) <= 2
    assert not node["children"] or depth < 2
  costs = [
    GAME.heuristics["sum"](dict(GAME.moves(GAME.start))[c["step"]])
    for c in run(searcher)["children"]
  ]
  ways = [GAME.heuristics["sum"](s) for _, s in GAME.moves(GAME.start)]
  assert costs == sorted(ways)[: len(costs)]


def test_visits_are_counted(searcher):
  for most in (1, 2, 5):
    assert len(list(nodes(run(searcher, game=HARD, max_visits=most)))) == most


def test_depth_and_breadth():
  depths = [
    [d for n, d in sorted(nodes(tree), key=lambda pair: pair[0]["order"])]
    for tree in (
      run(searchers.depth_first, game=HARD, width=2),
      run(searchers.breadth_first, game=HARD, width=2),
    )
  ]
  assert depths[0] == [0, 1, 2, 2, 1, 2, 2][: len(depths[0])]
  assert depths[1] == sorted(depths[1])


def test_no_state_is_visited_twice(searcher):
  game = games.Blocks((-1, 0, 1), (1, 2, -1), 6)
  rng = np.random.default_rng(0)
  tree = searcher(game, "unsettled", rng, width=5, max_visits=99)
  states = [node["state"] for node, _ in nodes(tree)]
  assert len(states) == len(set(states))


def test_what_is_solved_needs_no_search(searcher):
  game = games.Countdown((24,), 24, 999)
  tree = run(searcher, game=game)
  assert tree["solved"] and not tree["children"] and "goal" not in tree
