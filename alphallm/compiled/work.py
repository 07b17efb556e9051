"""The work of a compiled program, its loops multiplied in.

FLOPs are those of the matrix products. Bytes are those that pass between the
device's main memory and its cores: what an instruction reads and writes, of
slices and updates in place no more than these. What lies in a memory of the
cores (a TPU's VMEM) costs nothing.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

from alphallm.compiled import hlo, loops

COLLECTIVES = (
  "all-gather",
  "all-reduce",
  "all-to-all",
  "collective-permute",
  "reduce-scatter",
)
# Nothing is moved by these, or by what they call.
_FREE = frozenset(
  """
  after-all add-dependency bitcast call conditional constant domain
  get-tuple-element infeed iota opt-barrier outfeed parameter partition-id
  recv recv-done replica-id send send-done tuple while
  """.split()
)
# Custom calls that only tell the compiler of a TPU something.
_MARKS = (
  "AllocateBuffer",
  "AssumeGatherIndicesInBound",
  "AsyncCollectiveDone",
  "AsyncCollectiveStart",
  "ConcatBitcast",
)
_COPIES = ("copy-start", "slice-start", "dynamic-slice-start")
_SLICES = ("dynamic-slice", "gather", "slice")
_GEMM = re.compile(r'"lhs_contracting_dimensions":\[([^\]]*)\]')


@dataclasses.dataclass(frozen=True)
class Work:
  """What one instruction does on one device.

  Attributes:
    opcode: of the instruction; of a collective its kind, as in `COLLECTIVES`.
    times: how often it runs.
    flops: of its matrix products, each time.
    bytes: to and from the main memory, each time.
    sent: bytes of a collective's result, each time.
  """

  opcode: str
  times: int
  flops: int = 0
  bytes: int = 0
  sent: int = 0


def of(
  module: hlo.Module, assumed: Mapping[str, int]
) -> tuple[list[Work], list[loops.Loop]]:
  """Return the work of a program, and its loops.

  Of the branches of a condition the one with the most work is taken.

  Args:
    module: the program.
    assumed: see `loops.loop`.
  """
  works, found = [], []
  _walk(module, module.entry, assumed, 1, works, found)
  return works, found


def total(works: list[Work], what: str) -> int:
  """Return the sum of an attribute, `"flops"`, `"bytes"` or `"sent"`."""
  return sum(work.times * getattr(work, what) for work in works)


def collectives(works: list[Work]) -> dict[str, dict[str, int]]:
  """Return how often each kind of collective runs, and the bytes of each."""
  kinds = {}
  for work in works:
    if work.opcode in COLLECTIVES:
      kind = kinds.setdefault(work.opcode, {"count": 0, "bytes": 0})
      kind["count"] += work.times
      kind["bytes"] += work.times * work.sent
  return kinds


def _walk(module, name, assumed, times, works, found):
  computation = module.computations[name]
  for one in computation.values():
    if one.opcode == "while":
      loop = loops.loop(module, computation, one, assumed)
      found.append(loop)
      for body in one.called("body", "condition"):
        _walk(module, body, assumed, times * loop.times, works, found)
    elif one.opcode == "conditional":
      _heaviest(module, one, assumed, times, works, found)
    elif one.opcode in ("call", "async-start"):
      for called in one.called("to_apply", "calls"):
        _walk(module, called, assumed, times, works, found)
    elif not one.opcode.endswith("-done"):
      works += _works(module, computation, one, times)


def _heaviest(module, conditional, assumed, times, works, found):
  branches = []
  for name in conditional.called(
    "branch_computations", "true_computation", "false_computation"
  ):
    branch = ([], [])
    _walk(module, name, assumed, times, *branch)
    branches.append(branch)
  weight = lambda b: (total(b[0], "flops"), total(b[0], "bytes"))
  some, inside = max(branches, key=weight)
  works += some
  found += inside


def _works(module, computation, one, times) -> Iterator[Work]:
  """Yield what an instruction does, and what the fused ones in it do."""
  fused = {}
  if one.opcode == "fusion":
    (name,) = one.called("calls")
    fused = module.computations[name]
  for inner in (one, *fused.values()):
    kind = _kind(inner)
    if kind and not _has_begun(inner, fused):
      yield Work(kind, times, sent=_sent(inner))
  flops = _flops(module, computation, one)
  if fused:
    moved = _fusion_bytes(computation, one, fused)
  else:
    moved = _bytes(computation, one)
  if flops or moved:
    yield Work(one.opcode, times, flops, moved)


def _has_begun(collective, fused) -> bool:
  """Return whether a collective in a fusion has begun in another one.

  A TPU does a collective beside other work: it stands in a fusion that starts
  it, in those that go on with it and in one that waits for it. Channels do not
  tell one from the other: within `shard_map` all have the same.
  """
  told = [
    one.text("custom_call_target").strip('"')
    for one in fused.values()
    if collective.name in one.operands
  ]
  if "AsyncCollectiveStart" in told:
    return False
  return "AsyncCollectiveDone" in told or "chain_id=" in collective.attributes


def _kind(one) -> str:
  """Return the kind of a collective, "" for another instruction."""
  kind = one.opcode.removesuffix("-start")
  return kind if kind in COLLECTIVES else ""


def _sent(one) -> int:
  """Return the bytes of a collective's result."""
  arrays = one.arrays
  if one.opcode.endswith("-start") and _kind(one) != "all-reduce":
    # (what goes in, what comes out, numbers of its state)
    arrays = [x for x in arrays if x.dims] or arrays
    arrays = arrays[len(arrays) // 2 :]
  return sum(x.bytes for x in arrays)


def _is_free(one) -> bool:
  """Return whether an instruction moves nothing itself."""
  target = one.text("custom_call_target").strip('"')
  return one.opcode in _FREE or target in _MARKS or bool(_kind(one))


def _flops(module, computation, one) -> int:
  if one.opcode == "fusion":
    (name,) = one.called("calls")
    fused = module.computations[name]
    return sum(_flops(module, fused, i) for i in fused.values())
  if one.opcode == "convolution":
    return _convolution(computation, one)
  if one.opcode == "dot":
    contracted = one.numbers("lhs_contracting_dims")
  elif one.opcode == "custom-call" and _GEMM.search(one.attributes):
    text = _GEMM.search(one.attributes)[1].replace('"', "")
    contracted = tuple(map(int, filter(None, text.split(","))))
  else:
    return 0
  left = computation[one.operands[0]].arrays[0].dims
  return 2 * one.arrays[0].size * math.prod(left[d] for d in contracted)


def _convolution(computation, one) -> int:
  """Return the FLOPs of a convolution: TPUs write matrix products so.

  Products with what pads an input are none.
  """
  labels = re.split("_|->", one.text("dim_labels"))
  left, right = (computation[name].arrays[0].dims for name in one.operands[:2])
  result = one.arrays[0].dims
  products = 1
  for place, label in enumerate(labels[2]):
    if not label.isdigit():
      products *= result[place]
      continue
    products *= _pairs(
      left[labels[0].index(label)],
      right[labels[1].index(label)],
      result[place],
      _window(one.attributes, int(label)),
    )
  return 2 * products * right[labels[1].index("i")]


def _window(attributes: str, dim: int) -> dict[str, int]:
  """Return how a window moves along a dimension."""
  found = re.search(r"window=\{([^}]*)\}", attributes)
  entries = found[1].split() if found else []
  given = {k: v.split("x")[dim] for k, v in (e.split("=") for e in entries)}
  low = given.get("pad", "0_0").split("_")[0]
  number = lambda key: int(given.get(key, 1))
  return {
    "low": int(low),
    "stride": number("stride"),
    "spread": number("lhs_dilate"),
    "step": number("rhs_dilate"),
  }


def _pairs(size, kernel, result, window) -> int:
  """Count the pairs of an output and a place of the kernel with an input."""
  count, last = 0, (size - 1) * window["spread"]
  for k in range(kernel):
    for r in range(result):
      place = r * window["stride"] + k * window["step"] - window["low"]
      count += 0 <= place <= last and place % window["spread"] == 0
  return count


def _main(arrays) -> int:
  """Return the bytes of arrays that lie in the main memory."""
  return sum(x.bytes for x in arrays if not x.space)


def _bytes(computation, one) -> int:
  if _is_free(one):
    return 0
  operand = lambda i: computation[one.operands[i]].arrays
  if one.opcode in _COPIES:
    there, here = one.arrays[:2]
    if one.opcode != "copy-start":
      there, here = one.arrays[-3], one.arrays[-2]
    sides = (not there.space) + (not here.space)
    return sides * min(there.bytes, here.bytes)
  read = [computation[name].arrays for name in dict.fromkeys(one.operands)]
  if one.opcode in _SLICES:
    moved = one.arrays[0].bytes
    return moved * (bool(_main(operand(0))) + bool(_main(one.arrays)))
  if one.opcode == "dynamic-update-slice":
    moved = operand(1)[0].bytes
    return moved * bool(_main(one.arrays)) + _main(operand(1))
  if one.opcode == "scatter":
    half = len(one.operands) // 2
    updates = sum(_main(operand(i)) for i in range(half + 1, 2 * half + 1))
    return 2 * updates + _main(operand(half))
  return _main(one.arrays) + sum(map(_main, read))


def _fusion_bytes(computation, fusion, fused) -> int:
  """Return the bytes of a fusion: of what it slices, the slices alone."""
  users: dict[str, list[tuple[hlo.Instruction, int]]] = {}
  for one in fused.values():
    for place, name in enumerate(one.operands):
      users.setdefault(name, []).append((one, place))

  def uses(name):
    """Return who reads a value, behind what leaves it as it is."""
    found = []
    for user, place in users.get(name, []):
      same = user.opcode in ("bitcast", "copy", "reshape")
      found += uses(user.name) if same else [(user, place)]
    return found

  moved = 0
  parameters = (i for i in fused.values() if i.opcode == "parameter")
  for parameter in parameters:
    held = computation[fusion.operands[int(parameter.literal)]].arrays
    if not _main(held):
      continue
    read = 0
    for user, place in uses(parameter.name):
      if user.opcode in _SLICES and place == 0:
        read += user.arrays[0].bytes
      elif user.opcode == "dynamic-update-slice" and place == 0:
        continue
      elif not _is_free(user):
        read = _main(held)
        break
    moved += min(read, _main(held))
  return moved + _fusion_result(fusion, fused)


def _fusion_result(fusion, fused) -> int:
  """Return the bytes that a fusion writes: of updates in place, these alone."""
  (root,) = (i for i in fused.values() if i.is_root)
  names = root.operands if root.opcode == "tuple" else (root.name,)
  written = 0
  for array, name in zip(fusion.arrays, names, strict=False):
    made = fused[name]
    while made.opcode in ("bitcast", "copy", "reshape"):
      made = fused[made.operands[0]]
    if _is_free(made):
      continue
    if made.opcode == "dynamic-update-slice":
      array = dataclasses.replace(
        fused[made.operands[1]].arrays[0], space=array.space
      )
    written += _main((array,))
  return written
