"""Trees of searches as thoughts, with the wrong turns that were taken.

As O1-Journey (Qin et al., 2024, arXiv:2410.18982); see `thoughts.from_tree`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import chex
import numpy as np

from alphallm.initialization import thoughts


@chex.dataclass(frozen=True)
class Nodes:
  """The nodes of one tree, M of them; node 0 is the root.

  Attributes:
    parent: `[M]` int32, of the root anything.
    order: `[M]` int32, in which nodes were made.
    steps: `[M, T]` int32, the step that leads to each, without its end.
    step_lengths: `[M]` int32.
    states: `[M, O]` int32, what each state says.
    state_lengths: `[M]` int32.
    kept: `[M]` bool, which nodes there are, and may be learnt from.
    over: `[M]` bool, where nothing goes on.
    solved: `[M]` bool, which of these are solutions.
  """

  parent: chex.Array
  order: chex.Array
  steps: chex.Array
  step_lengths: chex.Array
  states: chex.Array
  state_lengths: chex.Array
  kept: chex.Array
  over: chex.Array
  solved: chex.Array


def records(
  nodes: Nodes,
  decode: Callable[[Sequence[int]], str],
  *,
  every_state: bool = False,
) -> Iterator[dict[str, str]]:
  """Yield the thought of a tree as a record, prompt and response.

  Without a solution there is none.

  Args:
    nodes: of NumPy arrays.
    decode: ids to text.
    every_state: whether there is a thought that begins at each state on the
      way to a solution, too.
  """
  made = _nested(nodes, decode)
  roots = made.values() if every_state else [made[0]] if 0 in made else []
  for root in roots:
    thought = thoughts.from_tree(root)
    if root.get("children") and thoughts.answer(thought):
      yield {"prompt": root["state"] + "\n", "response": thought}


def _nested(nodes: Nodes, decode) -> dict[int, dict[str, Any]]:
  """Return nodes by number, as `thoughts.from_tree` takes them.

  What lies below a node that is not kept is left out.
  """
  text = lambda row, length: decode(row[:length].tolist()).rstrip("\n")
  found: dict[int, dict[str, Any]] = {}
  for i in np.argsort(nodes.order, kind="stable").tolist():
    parent = int(nodes.parent[i])
    if not nodes.kept[i] or (i and parent not in found):
      continue
    found[i] = {
      "state": text(nodes.states[i], nodes.state_lengths[i]),
      "order": int(nodes.order[i]),
      "children": [],
    }
    if i:
      found[i]["step"] = text(nodes.steps[i], nodes.step_lengths[i])
      found[parent]["children"].append(found[i])
    if nodes.over[i]:
      found[i] |= {
        "value": float(nodes.solved[i]),
        "solved": bool(nodes.solved[i]),
      }
  return found
