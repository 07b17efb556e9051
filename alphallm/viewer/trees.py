"""A tree as plain data: what the page is told, and all that it is told.

The data of a tree with n nodes, which are numbered as they were made, each with
K candidate steps, is a dict that JSON can hold:

  context     what the policy reads at the root
  parent      [n] the node above; -1 at the root
  action      [n] which candidate of that node leads here; -1 at the root
  raw         [n] its value when it was made, before any search below it
  reward      [n] of the step that leads here
  discount    [n] of what follows that step
  mark        [n] "" for a state that goes on; "solved", "illegal", "truncated"
              or "end" for one that does not; "beyond" below such a state
  answer      [n] what the environment answers to the step, "" for nothing
  steps       [n][K] the candidates as text; [] where an episode is over
  priors      [n][K] their probabilities; 0 for one that is illegal or a double
  wins        [n][K] 1 for one that solves the problem, where that was asked
  order       [N] the node in which each simulation ended; where a tree was
              carried over from an earlier search, that one's come first
  is_sure     whether that order is the only one possible, see `history`
  visits      [n] how often each node was seen, when the search had ended
  value       [n] the mean of what was found at and below it
  line        the best line: [node, action] for each of its steps

All that the search knew after each of its simulations follows: a simulation
adds one visit and one return to the nodes between its end and the root, the
value where it ended, and above it reward + discount * return below.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from alphallm.search import play
from alphallm.search.candidates import IMPOSSIBLE
from alphallm.viewer import history


def tree_data(
  tree: Any,
  row: int,
  tokenizer: Any,
  *,
  context: str = "",
  played: Sequence[int] = (),
) -> dict[str, Any]:
  """Return the tree of one problem as data.

  Args:
    tree: `mctx.Tree` of B searches, its embeddings `search.nodes.Node`s.
    row: which problem.
    tokenizer: turns ids into text, by `decode`.
    context: what the policy reads at the root.
    played: what was played from the root on, each the number of a candidate.
      The best line begins with it, and goes on by the most visited.
  """
  of_row = lambda x: np.asarray(x[row])
  visits, parents = of_row(tree.node_visits), of_row(tree.parents)
  kept = np.flatnonzero(visits > 0)
  place = np.full(len(visits), -1)
  place[kept] = np.arange(len(kept))
  above = np.maximum(parents[kept], 0)
  action = np.where(
    parents[kept] < 0, -1, of_row(tree.action_from_parent)[kept]
  )
  on_edge = lambda x: np.where(action < 0, 0, of_row(x)[above, action])
  order, is_sure = history.endings(visits, parents)
  nodes = tree.embeddings
  decode = lambda ids, length: tokenizer.decode(ids[: int(length)])
  tokens, lengths = of_row(nodes.tokens)[kept], of_row(nodes.lengths)[kept]
  marks = _marks(nodes.state, row, kept, place[above])
  told = of_row(nodes.state.observation)[kept]
  told_lengths = of_row(nodes.state.observation_length)[kept]
  # Nothing is chosen where an episode is over.
  over = np.array([mark != "" for mark in marks])
  over &= np.bincount(place[above], minlength=len(kept)) == (kept == 0)
  data = {
    "context": context,
    "parent": np.where(action < 0, -1, place[above]).tolist(),
    "action": action.tolist(),
    "raw": _floats(of_row(tree.raw_values)[kept]),
    "reward": _floats(on_edge(tree.children_rewards)),
    "discount": _floats(on_edge(tree.children_discounts)),
    "mark": marks,
    "answer": [
      "" if node == 0 else decode(told[i], told_lengths[i])
      for i, node in enumerate(kept)
    ],
    "steps": [
      [] if over[i] else list(map(decode, tokens[i], lengths[i]))
      for i in range(len(kept))
    ],
    "priors": [
      [] if over[i] else _floats(_prior(logits))
      for i, logits in enumerate(of_row(tree.children_prior_logits)[kept])
    ],
    "wins": [
      [] if over[i] else wins.astype(int).tolist()
      for i, wins in enumerate(of_row(nodes.wins)[kept])
    ],
    "order": place[order].tolist(),
    "is_sure": is_sure,
    "visits": visits[kept].tolist(),
    "value": _floats(of_row(tree.node_values)[kept]),
  }
  return data | {"line": _line(data, list(map(int, played)))}


def from_result(
  result: play.SearchResult, task: Any, row: int = 0
) -> dict[str, Any]:
  """Return the first tree of a result of `search.mcts`; see the module.

  Args:
    result: of B problems.
    task: that was searched in.
    row: which problem.

  Raises:
    ValueError: if the result holds no tree.
  """
  if result.tree is None:
    raise ValueError("the result holds no tree: it is not one of search.mcts")
  episode = jax.tree.map(lambda x: np.asarray(x[row]), result.episode)
  root = jax.tree.map(lambda x: np.asarray(x[row]), result.tree.embeddings)
  children = np.asarray(result.tree.children_index[row])
  # Where the first move played a solution, all of it stands in the first tree.
  many = int(episode.num_steps) if episode.on_solution[0] else 1
  played, node = [], 0
  for step, length in zip(
    episode.steps[:many], episode.step_lengths[:many], strict=True
  ):
    same = (root.tokens[node] == step).all(-1) & (root.lengths[node] == length)
    if node < 0 or not same.any() or not length:
      break
    played.append(int(np.argmax(same)))
    node = children[node, played[-1]]
  return tree_data(
    result.tree,
    row,
    task.tokenizer,
    context=task.tokenizer.decode(episode.contexts[0][: episode.ends[0]]),
    played=played,
  )


def _marks(state, row, kept, above) -> list[str]:
  """Return how the states of the nodes ended, "" for those that go on."""
  of_row = lambda x: np.asarray(x[row])[kept]
  over, legal = of_row(state.terminated), of_row(state.legal)
  reward, truncated = of_row(state.reward), of_row(state.truncated)
  marks = np.select(
    [~over, ~legal, reward >= 1, truncated],
    ["", "illegal", "solved", "truncated"],
    "end",
  )
  marks[1:][over[above[1:]]] = "beyond"
  return marks.tolist()


def _prior(logits: np.ndarray) -> np.ndarray:
  possible = logits > IMPOSSIBLE / 2
  shifted = np.where(possible, logits - logits.max(), -np.inf)
  weights = np.exp(shifted.astype(np.float64))
  return weights / max(weights.sum(), 1e-30)


def _floats(array: np.ndarray) -> list[float | None]:
  """Return numbers as JSON can hold them, to the precision of float32."""
  return [float(f"{x:.8g}") if np.isfinite(x) else None for x in array.tolist()]


def _line(data: dict[str, Any], played: list[int]) -> list[list[int]]:
  """Return what was played, and from there the most visited."""
  edges = zip(data["parent"], data["action"], strict=True)
  child = {edge: node for node, edge in enumerate(edges)}
  line, node = [], 0
  for action in played:
    line.append([node, action])
    node = child.get((node, action))
    if node is None:
      return line
  while not data["mark"][node]:
    below = [child.get((node, k)) for k in range(len(data["steps"][node]))]
    wins = data["wins"][node]
    if any(wins):
      return [*line, [node, wins.index(1)]]
    below = [n for n in below if n is not None]
    if not below:
      break
    best = max(below, key=lambda n: (data["visits"][n], data["value"][n] or 0))
    line.append([node, data["action"][best]])
    node = best
  return line
