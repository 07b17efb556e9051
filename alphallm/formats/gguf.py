"""Reads GGUF files: metadata, then tensors, in little-endian order.

Everything that a file says of itself is held against its length before it is
acted upon.
"""

import math
import pathlib
import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from alphallm.formats import blocks, stored

# Numbers of GGML for what `stored` can read.
_ENCODINGS = {
  0: "F32",
  1: "F16",
  30: "BF16",
  2: "Q4_0",
  3: "Q4_1",
  8: "Q8_0",
  12: "Q4_K",
  14: "Q6_K",
}
_SCALARS = {
  0: "<u1",
  1: "<i1",
  2: "<u2",
  3: "<i2",
  4: "<u4",
  5: "<i4",
  6: "<f4",
  7: "?",
  10: "<u8",
  11: "<i8",
  12: "<f8",
}
_STRING, _ARRAY = 8, 9
_MAX_NAME = 2**16
_MAX_VALUES = 2**23  # in all of the metadata; vocabularies have some 2**18
_MAX_TEXT = 2**28  # bytes in all of the metadata
_MAX_TENSORS = 2**20


class File(NamedTuple):
  """What a GGUF file holds.

  Attributes:
    metadata: by key, numbers, truth values, strings and lists of them.
    tensors: by name; shapes as in NumPy, the last dimension varies fastest.
  """

  metadata: dict[str, Any]
  tensors: dict[str, stored.Stored]


def read(path: pathlib.Path) -> File:
  """Return what a file holds; no tensor is read yet.

  Raises:
    ValueError: if the file is malformed, cut off or of a type that is not read,
      in one line.
    OSError: if it cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open("rb") as file:
    try:
      return _read(_Reader(file, path.stat().st_size), path)
    except ValueError as error:
      raise ValueError(f"{path}: {error}") from error


class _Reader:
  """Reads forward through a file, never more than it can hold."""

  def __init__(self, file: BinaryIO, size: int):
    self.size = size
    self.values_left = _MAX_VALUES
    self._file = file
    self._text_left = _MAX_TEXT

  def place(self) -> int:
    return self._file.tell()

  def bytes(self, count: int) -> bytes:
    left = self.size - self._file.tell()
    if count > left:
      raise ValueError(f"it is cut off: {count} bytes are due, {left} are left")
    return self._file.read(count)

  def number(self, kind: str) -> int:
    return struct.unpack(f"<{kind}", self.bytes(struct.calcsize(kind)))[0]

  def text(self, most: int = _MAX_TEXT) -> str:
    count = self.number("Q")
    if count > min(most, self._text_left):
      raise ValueError(f"a string of {count} bytes is too long")
    self._text_left -= count
    try:
      return self.bytes(count).decode()
    except UnicodeDecodeError as error:
      raise ValueError("a string is not in UTF-8") from error

  def value(self) -> Any:
    kind = self.number("I")
    if kind == _ARRAY:
      return self._array()
    return self._values(kind, 1)[0]

  def _array(self):
    kind, count = self.number("I"), self.number("Q")
    if kind == _ARRAY:
      raise ValueError("an array of arrays is not read")
    return self._values(kind, count)

  def _values(self, kind: int, count: int) -> list[Any]:
    if count > self.values_left:
      raise ValueError(f"{count} values are too many")
    self.values_left -= count
    if kind == _STRING:
      if 8 * count > self.size - self.place():
        raise ValueError(f"it is cut off: {count} strings are due")
      return [self.text() for _ in range(count)]
    if kind not in _SCALARS:
      raise ValueError(f"metadata of type {kind} is not known")
    dtype = np.dtype(_SCALARS[kind])
    data = np.frombuffer(self.bytes(count * dtype.itemsize), np.uint8)
    if _SCALARS[kind] == "?" and np.any(data > 1):
      raise ValueError("a truth value is neither 0 nor 1")
    return data.view(dtype).tolist()


def _read(reader: _Reader, path: pathlib.Path) -> File:
  if reader.bytes(4) != b"GGUF":
    raise ValueError("it does not start as a GGUF file")
  version = reader.number("I")
  if version not in (2, 3):
    raise ValueError(f"version {version} of GGUF is not read, only 2 and 3")
  num_tensors, num_keys = reader.number("Q"), reader.number("Q")
  # A tensor takes at least 24 bytes of the file, a key 13.
  left = reader.size - reader.place()
  if num_tensors > min(_MAX_TENSORS, left // 24) or num_keys > left // 13:
    raise ValueError(
      f"it is cut off or lies: {num_tensors} tensors and {num_keys} keys in"
      f" {reader.size} bytes"
    )
  metadata = {}
  for _ in range(num_keys):
    key = reader.text(_MAX_NAME)
    if key in metadata:
      raise ValueError(f"the key {key!r} is there twice")
    metadata[key] = reader.value()
  entries = [_entry(reader) for _ in range(num_tensors)]
  alignment = metadata.get("general.alignment", 32)
  if type(alignment) is not int or not 0 < alignment <= 2**20:
    raise ValueError(f"the alignment {alignment!r} is not usable")
  begin = -(-reader.place() // alignment) * alignment
  tensors, end = {}, begin
  for name, encoding, shape, offset in sorted(entries, key=lambda e: e[-1]):
    if name in tensors:
      raise ValueError(f"the tensor {name!r} is there twice")
    if offset % alignment or begin + offset < end:
      raise ValueError(f"the tensor {name!r} lies on another one")
    end = begin + offset + stored.size(encoding, shape)
    if end > reader.size:
      raise ValueError(
        f"it is cut off: the tensor {name!r} ends at byte {end}, the file at"
        f" {reader.size}"
      )
    tensors[name] = stored.Stored(
      path=path, offset=begin + offset, encoding=encoding, shape=shape
    )
  return File(metadata=metadata, tensors=tensors)


def _entry(reader: _Reader):
  name, rank = reader.text(_MAX_NAME), reader.number("I")
  if not 0 < rank <= 4:
    raise ValueError(f"the tensor {name!r} has {rank} dimensions")
  shape = tuple(reader.number("Q") for _ in range(rank))[::-1]
  kind, offset = reader.number("I"), reader.number("Q")
  if not 0 < math.prod(shape) < 2**60:
    raise ValueError(f"the tensor {name!r} has shape {list(shape)}")
  if kind not in _ENCODINGS:
    known = ", ".join([*stored.PLAIN, *blocks.KINDS])
    raise ValueError(
      f"the tensor {name!r} has type {kind} of GGML, which is none of {known}"
    )
  return name, _ENCODINGS[kind], shape, offset
