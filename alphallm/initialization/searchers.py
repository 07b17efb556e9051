"""Searchers of Stream of Search, depth first and breadth first, as trees.

Gandhi et al., 2024, arXiv:2404.03683, section 3 and appendix A: at each state
the best few steps by a heuristic are gone into.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from alphallm.initialization import games

# (game, heuristic, rng, *, width, max_visits) -> tree
Searcher = Callable[..., dict[str, Any]]


def depth_first(
  game: games.Game,
  heuristic: str,
  rng: np.random.Generator,
  *,
  width: int,
  max_visits: int,
) -> dict[str, Any]:
  """Search depth first, until a solution is found or visits run out.

  Args:
    game: the problem.
    heuristic: the name of one of its heuristics.
    rng: draws the noise of the heuristic.
    width: ways on from a state that are tried, at most.
    max_visits: states that are visited, the root included.

  Returns:
    The tree of `thoughts.from_tree`, in plain nested data.
  """
  record = _Record(game, heuristic, rng, width, max_visits)
  ahead = [(record.root, game.start, 0)]
  while ahead and not record.is_over:
    node, state, depth = ahead[-1]
    if id(node) not in record.ways:
      record.choose(node, state, depth)
    move = record.next_way(node)
    if move is None:
      ahead.pop()
      continue
    child = record.visit(node, move)
    if child is not None:
      ahead.append((child, move[1], depth + 1))
  return record.root


def breadth_first(
  game: games.Game,
  heuristic: str,
  rng: np.random.Generator,
  *,
  width: int,
  max_visits: int,
) -> dict[str, Any]:
  """Search breadth first; see `depth_first`."""
  record = _Record(game, heuristic, rng, width, max_visits)
  ahead = [(record.root, game.start, 0)]
  while ahead and not record.is_over:
    node, state, depth = ahead.pop(0)
    record.choose(node, state, depth)
    while not record.is_over and (move := record.next_way(node)) is not None:
      child = record.visit(node, move)
      if child is not None:
        ahead.append((child, move[1], depth + 1))
  return record.root


class _Record:
  """A search under way: the tree so far, and what is known.

  Attributes:
    root: of the tree.
    ways: by the id of a node, the moves not yet made from it, the best last.
    is_over: whether it is solved, or no visit is left.
  """

  def __init__(self, game, heuristic, rng, width, max_visits):
    self._game, self._name, self._rng = game, heuristic, rng
    self._cost = game.heuristics[heuristic]
    self._width, self._left = width, max_visits - 1
    self._known = {game.start}
    self.ways: dict[int, list] = {}
    is_solved = game.is_solved(game.start)
    self.is_over = is_solved or self._left <= 0
    self.root = {
      "state": game.text(game.start),
      "analysis": game.analysis(game.start),
      "solved": is_solved,
      "order": 0,
      "children": [],
    }

  def choose(self, node, state, depth) -> None:
    """Choose the ways on from a state, and say what they aim at."""
    moves = []
    if depth < self._game.max_depth:
      moves = self._game.moves(state)
    noise = self._game.noise * self._rng.standard_normal(len(moves))
    costs = [
      self._cost(after) + extra
      for (_, after), extra in zip(moves, noise, strict=True)
    ]
    best = np.argsort(costs, kind="stable")[: self._width]
    self.ways[id(node)] = [moves[i] for i in best[::-1]]
    goal = self._game.goal(state, self._name)
    if goal and moves:
      node["goal"] = goal

  def next_way(self, node):
    ways = self.ways[id(node)]
    return ways.pop() if ways else None

  def visit(self, parent, move) -> dict[str, Any] | None:
    """Return the new node of a move; None if its state was visited before."""
    step, state = move
    if state in self._known:
      return None
    self._known.add(state)
    self._left -= 1
    node = {
      "step": step,
      "state": self._game.text(state),
      "solved": self._game.is_solved(state),
      "order": len(self._known) - 1,
      "children": [],
    }
    value = self._game.value(state)
    if value is not None:
      node["value"] = value
    parent["children"].append(node)
    self.is_over = node["solved"] or self._left <= 0
    return node
