"""The text of a compiled program, read: computations of instructions.

It is the form in which XLA prints an optimized module (HLO), the same for
CPUs, GPUs and TPUs.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping

_BITS = {
  "pred": 8,
  "token": 0,
  "opaque": 0,
  "bf16": 16,
  "tf32": 32,
  "c64": 64,
  "c128": 128,
}
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](\{[^{}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_HEAD = re.compile(r"(?:ENTRY )?%([\w.\-]+) \(.*\{$")
_SPACE = re.compile(r"S\((\d+)\)")
_ID = re.compile(r"(\w+_id)=(\d+)")


@dataclasses.dataclass(frozen=True)
class Array:
  """An array, as the program holds it on one device.

  Attributes:
    dtype: XLA's name of it, "bf16".
    dims: its shape.
    space: the memory it lies in; 0 is the device's main one.
  """

  dtype: str
  dims: tuple[int, ...]
  space: int = 0

  @property
  def size(self) -> int:
    return math.prod(self.dims)

  @property
  def bytes(self) -> int:
    return -(-self.size * _bits(self.dtype) // 8)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One instruction.

  Attributes:
    name: in its computation.
    opcode: "convolution".
    arrays: its result; several if that is a tuple, flattened.
    operands: names, in the same computation.
    literal: what stands in the brackets: operands, a number.
    attributes: all that follows.
    is_root: whether it is the result of its computation.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  literal: str
  attributes: str
  is_root: bool = False

  def called(self, *keys: str) -> tuple[str, ...]:
    """Return the computations that an attribute of such a name holds."""
    names = []
    for key in keys:
      found = re.search(rf"\b{key}=(\{{[^}}]*\}}|%[\w.\-]+)", self.attributes)
      names += _NAME.findall(found[1]) if found else []
    return tuple(names)

  def numbers(self, key: str) -> tuple[int, ...]:
    """Return an attribute `key={1,2}`; () where it is not there."""
    found = re.search(rf"\b{key}=\{{([\d,]*)\}}", self.attributes)
    return tuple(map(int, found[1].split(","))) if found and found[1] else ()

  def text(self, key: str) -> str:
    """Return an attribute `key=text`; "" where it is not there."""
    found = re.search(rf"\b{key}=([^\s,}}]+)", self.attributes)
    return found[1] if found else ""


Computation = Mapping[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: by name, each a mapping from names to instructions.
    entry: the name of the first.
    functions: by the id of a stack frame, the Python function of which it is
      ("candidates.sample": the file without its folder, and the function).
  """

  computations: Mapping[str, Computation]
  entry: str
  functions: Mapping[int, str]

  def function(self, instruction: Instruction) -> str:
    """Return the Python function that an instruction comes from, or ""."""
    frame = instruction.text("stack_frame_id")
    return self.functions.get(int(frame), "") if frame else ""


def parse(text: str) -> Module:
  """Return the program that a text holds.

  Raises:
    ValueError: if it holds none.
  """
  tables: dict[str, dict[int, str]] = {}
  computations, entry = {}, ""
  table = body = None
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head:
      body = computations.setdefault(head[1], {})
      entry = head[1] if line.startswith("ENTRY") else entry
    elif line.startswith("}"):
      body = None
    elif body is not None and " = " in line:
      instruction = _instruction(line.strip())
      body[instruction.name] = instruction
    elif line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
      table = tables.setdefault(line, {})
    elif table is not None and line[:1].isdigit():
      number, _, rest = line.partition(" ")
      table[int(number)] = rest
  if not entry:
    raise ValueError("the text holds no compiled program")
  return Module(computations, entry, _functions(tables))


def _functions(tables: Mapping[str, Mapping[int, str]]) -> dict[int, str]:
  places = {}
  for number, text in tables.get("FileLocations", {}).items():
    ids = dict(_ID.findall(text))
    file = tables["FileNames"][int(ids["file_name_id"])].strip('"')
    name = tables["FunctionNames"][int(ids["function_name_id"])].strip('"')
    places[number] = f"{pathlib.PurePath(file).stem}.{name}"
  return {
    number: places[int(dict(_ID.findall(text))["file_location_id"])]
    for number, text in tables.get("StackFrames", {}).items()
  }


def _instruction(line: str) -> Instruction:
  is_root = line.startswith("ROOT ")
  name, _, rest = line.removeprefix("ROOT ").partition(" = ")
  end = _closing(rest) if rest.startswith("(") else rest.index(" ")
  opcode, _, _ = rest[end:].strip().partition("(")
  start = rest.index("(", end)
  close = start + _closing(rest[start:])
  literal = rest[start + 1 : close - 1]
  return Instruction(
    name=name.removeprefix("%"),
    opcode=opcode,
    arrays=_arrays(rest[:end]),
    operands=tuple(_NAME.findall(literal)),
    literal=literal,
    attributes=rest[close:],
    is_root=is_root,
  )


def _closing(text: str) -> int:
  """Return the place behind the bracket that closes the first one."""
  depth = 0
  for place, letter in enumerate(text):
    depth += (letter == "(") - (letter == ")")
    if not depth:
      return place + 1
  raise ValueError(f"no bracket closes {text[:60]!r}")


def _arrays(text: str) -> tuple[Array, ...]:
  arrays = []
  for dtype, dims, layout in _ARRAY.findall(text):
    space = _SPACE.search(layout)
    dims = dims.replace("<=", "").split(",") if dims else ()
    arrays.append(
      Array(dtype, tuple(map(int, dims)), int(space[1]) if space else 0)
    )
  return tuple(arrays)


def _bits(dtype: str) -> int:
  if dtype in _BITS:
    return _BITS[dtype]
  return int(re.match(r"[a-z]+(\d+)", dtype)[1])  # "s32", "f8e4m3fn"
