"""How often the loops of a compiled program go round."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from alphallm.compiled import hlo

_KNOWN = re.compile(r'known_trip_count"?:\{"n":"(\d+)"')
# What hands a number on as it is.
_SAME = ("bitcast", "convert", "copy", "reshape")


@dataclasses.dataclass(frozen=True)
class Loop:
  """A loop of a program.

  Attributes:
    function: the Python function that it comes from.
    times: how often it goes round.
    source: of that number. It is `exact`, or the `bound` of a loop that may
      end before; or it is `assumed`; or `unknown`, and taken to be 1.
  """

  function: str
  times: int
  source: Literal["exact", "bound", "assumed", "unknown"]


def loop(
  module: hlo.Module,
  computation: hlo.Computation,
  instruction: hlo.Instruction,
  assumed: Mapping[str, int],
) -> Loop:
  """Return how often a `while` goes round.

  Args:
    module: the program.
    computation: in which the loop stands.
    instruction: the loop.
    assumed: for loops that say nothing of their end, by the Python function
      that they come from.
  """
  function = module.function(instruction)
  known = _KNOWN.search(instruction.attributes)
  if known:
    return Loop(function, int(known[1]), "exact")
  found = _counted(module, computation, instruction)
  if function in assumed and (found is None or not found[1]):
    return Loop(function, assumed[function], "assumed")
  if found is None:
    return Loop(function, 1, "unknown")
  return Loop(function, max(found[0], 0), "exact" if found[1] else "bound")


def _counted(module, computation, instruction) -> tuple[int, bool] | None:
  """Return how often a loop `while i < n and ...` goes round at most.

  Beside it, whether that is all that the loop waits for, and all is known of
  i. What is not is taken as it takes longest: from 0, by 1.
  """
  (name,) = instruction.called("condition")
  condition = module.computations[name]
  (root,) = (i for i in condition.values() if i.is_root)
  scope = _Scope(module, condition)
  wanted, is_all = [(root, scope)], True
  while wanted:
    one, scope = wanted.pop()
    if one.opcode == "fusion":
      inner, made = scope.enter(one)
      wanted.append((made, inner))
    elif one.opcode == "and":
      is_all = False
      wanted += [scope.of(one, 0), scope.of(one, 1)]
    elif one.opcode == "compare":
      bound = _bound(one, scope)
      if bound is not None:
        place, stop = bound
        start = _start(computation, instruction, place)
        step = _step(module, instruction, place)
        is_all &= start is not None and step is not None
        return -(-(stop - (start or 0)) // (step or 1)), is_all
  return None


def _bound(compare, scope) -> tuple[int, int] | None:
  """Return of `i < n` the place of i in the loop's state, and n."""
  sides = [scope.settle(*scope.of(compare, side)) for side in (0, 1)]
  direction = compare.text("direction")
  if direction in ("GT", "GE"):
    sides = sides[::-1]
  (counter, _), (limit, _) = sides
  if counter.opcode != "get-tuple-element":
    return None
  if direction not in ("LT", "LE", "GT", "GE"):
    return None
  stop = _number(limit)
  if stop is None:
    return None
  return int(counter.text("index")), stop + (direction in ("LE", "GE"))


def _start(computation, instruction, place) -> int | None:
  """Return the number with which a loop begins to count, if it is known."""
  state = computation[instruction.operands[0]]
  if state.opcode != "tuple":
    return None
  first = computation[state.operands[place]]
  while first.opcode in _SAME and first.operands:
    first = computation[first.operands[0]]
  return _number(first)


def _step(module, instruction, place) -> int | None:
  """Return by how much a loop counts, if it is known."""
  (name,) = instruction.called("body")
  body = module.computations[name]
  (root,) = (i for i in body.values() if i.is_root)
  if root.opcode != "tuple":
    return None
  scope = _Scope(module, body)
  made, scope = scope.settle(body[root.operands[place]], scope)
  if made.opcode == "fusion":
    scope, made = scope.enter(made)
  if made.opcode != "add":
    return None
  sides = [scope.settle(*scope.of(made, side))[0] for side in (0, 1)]
  steps = [_number(side) for side in sides if side.opcode == "constant"]
  return steps[0] if len(steps) == 1 and steps[0] else None


def _number(instruction) -> int | None:
  """Return the whole number of a constant; None if it is none."""
  is_number = instruction.opcode == "constant"
  if is_number and re.fullmatch(r"-?\d+", instruction.literal):
    return int(instruction.literal)
  return None


@dataclasses.dataclass(frozen=True)
class _Scope:
  """A computation, and where its parameters come from.

  Attributes:
    module: the program.
    computation: the one.
    caller: the scope and the instruction that call it; None at the outermost.
  """

  module: hlo.Module
  computation: hlo.Computation
  caller: tuple["_Scope", hlo.Instruction] | None = None

  def of(self, instruction, operand):
    return self.computation[instruction.operands[operand]], self

  def enter(self, fusion):
    (name,) = fusion.called("calls")
    inner = self.module.computations[name]
    (root,) = (i for i in inner.values() if i.is_root)
    return _Scope(self.module, inner, (self, fusion)), root

  def settle(self, instruction, scope):
    """Return where a number comes from, out of fusions and copies."""
    while True:
      if instruction.opcode in _SAME:
        instruction, scope = scope.of(instruction, 0)
      elif instruction.opcode == "parameter" and scope.caller:
        outer, fusion = scope.caller
        instruction, scope = outer.of(fusion, int(instruction.literal))
      else:
        return instruction, scope
