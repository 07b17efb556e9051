"""Search trees written as long thoughts, and the spans read out of them.

The form of a thought stands in `alphallm.tasks.long_thoughts`.
"""

import collections
from collections.abc import Iterable, Mapping
from typing import Any

from alphallm.tasks import long_thoughts

_MARKS = tuple(long_thoughts.MARKS.values())
_FIELDS = (
  "step",
  "state",
  "analysis",
  "goal",
  "value",
  "solved",
  "order",
  "children",
)


def from_tree(tree: Mapping[str, Any]) -> str:
  """Return the thought of a search, in the order of its visits.

  As the journey of O1-Journey (Qin et al., 2024, arXiv:2410.18982): the wrong
  turns are told too, up to the first solution, which is the answer. What was
  visited after it is left out; without a solution there is no answer.

  Args:
    tree: the root, plain nested data. A node is a mapping of
      state: text, what is left to do there (one line, as is `step`).
      step: text, what led to it; the root has none.
      children: nodes, by default none.
      order: a number, at which visit the node was made; by default nodes are
        visited depth first, children in turn. No child comes before its parent.
      value: in [0, 1], what the node is worth; by default it goes unsaid.
      solved: whether its state is a solution; by default not.
      analysis: text, what is seen of the state; by default nothing.
      goal: text, what is aimed at from there; by default nothing.

  Raises:
    ValueError: for a tree that is not of this form.
  """
  visits = _visits(tree)
  root, _ = visits[0]
  lines = [_analysis(root)]
  path, opened = {id(root): []}, set()
  here, answer = root, path[id(root)] if root.get("solved") else None
  for node, parent in visits[1:]:
    if answer is not None:
      break
    if id(parent) not in path:
      raise ValueError(f"{_of(node)}: it is visited before its parent")
    if parent is not here:
      lines.append(_line("correction", parent["state"]))
    is_first = id(parent) not in opened
    opened.add(id(parent))
    if is_first and parent.get("goal"):
      lines.append(_line("decomposition", parent["goal"]))
    kind = "completion" if is_first else "alternative"
    move = f"{node['step']}{long_thoughts.LEADS_TO}{node['state']}"
    lines += [_line(kind, move), _analysis(node), _evaluation(node)]
    path[id(node)] = [*path[id(parent)], node["step"]]
    here = node
    if node.get("solved"):
      answer = path[id(node)]
  if answer is not None:
    lines.append(long_thoughts.ANSWER + "".join(f"{step}\n" for step in answer))
  return "".join(lines)


def spans(thought: str) -> Iterable[tuple[str, str]]:
  """Yield the behaviours of a thought in turn, each with its text.

  Lines that begin with no mark are passed over. A span that the answer cuts
  off, or the end of a thought that is unfinished, is one nevertheless.
  """
  names = {mark: name for name, mark in long_thoughts.MARKS.items()}
  for line in thought.partition(long_thoughts.ANSWER)[0].splitlines():
    for mark, name in names.items():
      if line.startswith(mark):
        yield name, line.removeprefix(mark)


def count(thought: str) -> dict[str, int]:
  """Return how often a thought shows each of the six behaviours."""
  found = collections.Counter(name for name, _ in spans(thought))
  return {name: found[name] for name in long_thoughts.MARKS}


def answer(thought: str) -> list[str] | None:
  """Return the steps of a thought's answer; None if it has none."""
  _, mark, steps = thought.partition(long_thoughts.ANSWER)
  return steps.splitlines() if mark else None


def _visits(tree) -> list[tuple[Mapping[str, Any], Any]]:
  """Return all nodes with their parents, in the order of visits."""
  found, open_nodes = [], [(tree, None)]
  while open_nodes:
    node, parent = open_nodes.pop()
    _check(node, parent)
    found.append((node, parent))
    open_nodes += [(child, node) for child in node.get("children", ())[::-1]]
  place = {id(node): i for i, (node, _) in enumerate(found)}
  if len(place) < len(found):
    raise ValueError("a node of the tree stands in it twice")
  found.sort(key=lambda pair: pair[0].get("order", place[id(pair[0])]))
  if found[0][0] is not tree:
    raise ValueError("the root of the tree is not visited first")
  return found


def _check(node, parent) -> None:
  if not isinstance(node, Mapping):
    raise ValueError(f"{node!r} is no node of a tree")
  unknown = set(node) - set(_FIELDS)
  if unknown:
    raise ValueError(f"{_of(node)}: {sorted(unknown)[0]!r} is no field of it")
  for field in ("state", "step", "analysis", "goal"):
    text = node.get(field)
    needed = field == "state" or (field == "step" and parent is not None)
    if text is None and not needed:
      continue
    if not isinstance(text, str) or not text or "\n" in text:
      raise ValueError(f"{_of(node)}: its {field} is not a line of text")
    if any(mark in text for mark in (*_MARKS, long_thoughts.ANSWER)):
      raise ValueError(f"{_of(node)}: its {field} holds a mark")
  value = node.get("value")
  if value is not None and not 0 <= value <= 1:
    raise ValueError(f"{_of(node)}: its value {value!r} is not 0 to 1")


def _of(node) -> str:
  return f"the node of state {node.get('state')!r}"


def _line(name: str, text: str) -> str:
  return f"{long_thoughts.MARKS[name]}{text}\n"


def _analysis(node) -> str:
  found = node.get("analysis")
  return _line("analysis", found) if found else ""


def _evaluation(node) -> str:
  value = node.get("value")
  return "" if value is None else _line("evaluation", str(round(9 * value)))
