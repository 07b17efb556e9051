"""Problem files of the blocks world, and plans that other tools can check.

A problem here is a `Description`: names, and dicts from a block's name to the
name of what it stands on (`"table"` for the table).
"""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

TABLE = "table"
_ALWAYS_TRUE = ("handempty", "arm-empty")


class Description(NamedTuple):
  """A problem in names.

  Attributes:
    names: the blocks, in order of declaration.
    on: what each block stands on; holds every block.
    goal: what blocks must stand on; blocks without a demand are left out.
  """

  names: list[str]
  on: dict[str, str]
  goal: dict[str, str]


def problem_files(path) -> list[pathlib.Path]:
  """Return the file at `path`, or a folder's `*.pddl` in natural order.

  Folders are searched recursively; `domain` files are no problems.

  Raises:
    ValueError: if there is no such file, or no problem in the folder.
  """
  path = pathlib.Path(path)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise ValueError(f"{path}: no such file or folder")
  files = [file for file in path.rglob("*.pddl") if "domain" not in file.stem]
  if not files:
    raise ValueError(f"{path}: no *.pddl file in this folder")
  return sorted(files, key=lambda file: (str(file.parent), _natural(file.name)))


def read(path) -> list[tuple[str, Description]]:
  """Read a PDDL file, a folder of them, or a JSONL file.

  Returns:
    Pairs of a problem's place, for messages (`file` or `file:line`), and the
    problem.

  Raises:
    ValueError: one line that names what is wrong with which file.
  """
  problems = []
  for file in problem_files(path):
    if file.suffix != ".jsonl":
      problems.append((str(file), read_problem(file)))
      continue
    for number, line in enumerate(_text(file).splitlines(), start=1):
      if line.strip():
        place = f"{file}:{number}"
        problems.append((place, _described(place, _parse_json, line)))
  if not problems:
    raise ValueError(f"{path}: no problem in this file")
  return problems


def read_problem(path) -> Description:
  """Read one PDDL problem of the domain `blocksworld-4ops`.

  Raises:
    ValueError: one line that names what is wrong with which file.
  """
  return _described(str(path), _parse_pddl, _text(path))


def write_plan(
  names: Sequence[str], moves: Sequence[tuple[int, int, int]]
) -> str:
  """Return a plan in the actions of `blocksworld-4ops`, one a line.

  Args:
    names: the names of the blocks.
    moves: `(block, source, destination)` as indices into `names`, negative for
      the table. Each move is two actions.
  """
  lines = []
  for block, source, destination in moves:
    name = names[block]
    lines.append(
      f"(pick-up {name})" if source < 0 else f"(unstack {name} {names[source]})"
    )
    lines.append(
      f"(put-down {name})"
      if destination < 0
      else f"(stack {name} {names[destination]})"
    )
  return "".join(line.lower() + "\n" for line in lines)


def _natural(name: str) -> list[Any]:
  """Sort key under which instance-2 comes before instance-10."""
  return [
    (1, int(part), "") if part.isdecimal() else (0, 0, part)
    for part in re.split(r"(\d+)", name)
  ]


def _text(path) -> str:
  try:
    return pathlib.Path(path).read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f"{path}: not a readable text file") from error


def _described(place: str, parse, text: str) -> Description:
  """Parse and check a problem; errors name its place."""
  try:
    problem = parse(text)
    _check(problem)
  except ValueError as error:
    raise ValueError(f"{place}: {error}") from error
  return problem


def _parse_json(line: str) -> Description:
  try:
    value = json.loads(line, object_pairs_hook=_distinct)
  except (json.JSONDecodeError, RecursionError) as error:
    raise ValueError("not JSON") from error
  if not isinstance(value, dict) or set(value) != {"init", "goal"}:
    raise ValueError('not an object of "init" and "goal"')
  for part in value.values():
    if not isinstance(part, dict) or not all(
      isinstance(support, str) for support in part.values()
    ):
      raise ValueError('"init" and "goal" must map blocks to their supports')
  return Description(list(value["init"]), value["init"], value["goal"])


def _distinct(pairs) -> dict[str, Any]:
  result = dict(pairs)
  if len(result) != len(pairs):
    raise ValueError("a block is listed twice")
  return result


def _parse_pddl(text: str) -> Description:
  match _expression(re.sub(r";[^\n]*", "", text).lower()):
    case ["define", ["problem", *_], *sections]:
      pass
    case _:
      raise ValueError("not a PDDL problem")
  parts = {}
  for section in sections:
    if not section or not isinstance(section, list | tuple):
      raise ValueError("not a PDDL problem")
    parts[str(section[0])] = section[1:]
  for keyword in (":objects", ":init", ":goal"):
    if keyword not in parts:
      raise ValueError(f"not a PDDL problem: no {keyword}")
  match parts[":goal"]:
    case [["and", *goal]]:
      pass
    case goal:
      pass
  return Description(
    _objects(parts[":objects"]),
    _supports(parts[":init"]),
    _supports(goal, goal=True),
  )


def _expression(text: str) -> list[Any]:
  """Return the one s-expression of `text` as nested lists of words."""
  stack = [[]]
  for token in re.findall(r"[()]|[^\s()]+", text):
    if token == "(":
      stack.append([])
    elif token != ")":
      stack[-1].append(token)
    elif len(stack) > 1:
      closed = stack.pop()
      stack[-1].append(closed)
    else:
      raise ValueError("not PDDL: unbalanced parentheses")
  if len(stack) > 1:
    raise ValueError("not PDDL: unbalanced parentheses")
  return stack[0][0] if len(stack[0]) == 1 else stack[0]


def _objects(words: list[Any]) -> list[str]:
  if not all(isinstance(word, str) for word in words):
    raise ValueError("not a PDDL problem: :objects must be names")
  # `a b - block` declares a type, which is of no account here.
  return re.sub(r"(^|\s)-\s+\S+", " ", " ".join(words)).split()


def _supports(facts: list[Any], *, goal: bool = False) -> dict[str, str]:
  """Return what blocks stand on; `clear` must not contradict it."""
  on, clear = {}, []
  for fact in facts:
    match fact:
      case ["on", str(block), str(support)]:
        pass
      case ["ontable", str(block)]:
        support = TABLE
      case ["clear", str(block)] if not goal:
        clear.append(block)
        continue
      case [str(word)] if word in _ALWAYS_TRUE:
        continue
      case [str(word), *_]:
        part = "goal" if goal else "init"
        raise ValueError(f"{part}: ({word} ...) is not supported")
      case _:
        raise ValueError("not a PDDL problem: a fact is missing")
    if on.setdefault(block, support) != support:
      raise ValueError(f"{block} is on two things, {on[block]} and {support}")
  for block in clear:
    if block in on.values():
      raise ValueError(f"{block} is not clear: a block stands on it")
  return on


def _check(problem: Description) -> None:
  """Raise a ValueError unless both arrangements are possible."""
  names = problem.names
  if not names:
    raise ValueError("no blocks")
  if TABLE in names or len(set(names)) < len(names):
    raise ValueError("blocks must have names of their own, other than table")
  for block in names:
    if block not in problem.on:
      raise ValueError(f"{block} stands on nothing")
  for part, on in (("init", problem.on), ("goal", problem.goal)):
    supports = [support for support in on.values() if support != TABLE]
    for name in (*on, *supports):
      if name not in names:
        raise ValueError(f"{part}: no block is called {name}")
      if supports.count(name) > 1:
        raise ValueError(f"{part}: two blocks are on {name}")
    for block in on:
      if on[block] == block:
        raise ValueError(f"{part}: {block} is on itself")
      below = on[block]
      while below != block and below in on:
        below = on[below]
      if below == block:
        raise ValueError(f"{part}: {block} is above itself")
