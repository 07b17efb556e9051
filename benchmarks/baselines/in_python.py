"""A tree of Python objects that calls the network for each expansion.

As search over steps is mostly written: select, expand and back up in Python,
the network in one jitted call that passes the text from its beginning.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class Node:
  """A text, its candidate steps with their priors, and what is known of it."""

  text: list[int]
  steps: np.ndarray
  priors: np.ndarray
  value: float
  visits: int = 1
  total: float = 0.0
  children: dict[int, "Node"] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    self.total = self.value

  def best(self) -> int:
    """Return the candidate of the highest PUCT score."""

    def score(k):
      child = self.children.get(k)
      q = child.total / child.visits if child else self.value
      visits = child.visits if child else 0
      return q + 1.25 * self.priors[k] * math.sqrt(self.visits) / (1 + visits)

    return max(range(len(self.priors)), key=score)


def search(
  evaluate, texts: list[list[int]], num_simulations: int
) -> list[Node]:
  """Search one move of some texts, side by side, and return their roots.

  Args:
    evaluate: `texts -> (steps [n, K, T], log_probs [n, K], values [n])`, NumPy
      arrays.
    texts: token ids.
    num_simulations: expansions of each tree.
  """

  def make(texts):
    steps, log_probs, values = evaluate(texts)
    priors = np.exp(log_probs - log_probs.max(-1, keepdims=True))
    priors /= priors.sum(-1, keepdims=True)
    return [Node(*parts) for parts in zip(texts, steps, priors, values)]  # noqa: B905

  roots = make(texts)
  for _ in range(num_simulations):
    paths, grown = [], []
    for root in roots:
      path, action = [root], root.best()
      while action in path[-1].children:
        path.append(path[-1].children[action])
        action = path[-1].best()
      paths.append((path, action))
      grown.append([*path[-1].text, *map(int, path[-1].steps[action])])
    for (path, action), node in zip(paths, make(grown), strict=True):
      path[-1].children[action] = node
      for above in reversed(path):
        above.visits += 1
        above.total += node.value
  return roots
