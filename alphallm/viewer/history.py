"""In which node each simulation of a tree ended, read from the tree itself."""

import numpy as np


def endings(visits: np.ndarray, parents: np.ndarray) -> tuple[list[int], bool]:
  """Return where each simulation ended, in order, and whether that is sure.

  A simulation makes the next node: node i is that of simulation i. At the
  greatest depth it sees a node again that is there already, and place i stays
  empty. Which node it was shows in the counts, for a node has as many visits as
  its children together, one for being made, and one for each time that it was
  seen again. Only the order is not told, where several nodes were seen again:
  then that which was made first goes first.

  Args:
    visits: `[N + 1]` int, of the nodes; 0 at places that are empty.
    parents: `[N + 1]` int, below 0 for the root.

  Returns:
    Nodes, one for each simulation, and whether no other order is possible.
  """
  made = np.flatnonzero(visits > 0)
  again = np.where(visits > 0, visits - 1, 0)
  below = made[parents[made] >= 0]
  np.subtract.at(again, parents[below], visits[below])
  order, is_sure, simulation = [], True, 0
  for node in [*below, None]:
    # Behind the last node, as many as are left.
    gap = again.sum() if node is None else node - 1 - simulation
    for _ in range(gap):
      open_ = np.flatnonzero(again[:node])
      if not len(open_):  # it was seen before the tree was carried over
        break
      is_sure &= len(open_) == 1
      again[open_[0]] -= 1
      order.append(int(open_[0]))
    if node is not None:
      order.append(int(node))
      simulation = int(node)
  return order, bool(is_sure)
