"""Reads and writes safetensors files: a header in JSON, then the numbers."""

import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alphallm.formats import documents, stored

_MAX_HEADER = 2**25


def read(path: pathlib.Path) -> dict[str, stored.Stored]:
  """Return the tensors of a file by name; none of them is read yet.

  Raises:
    ValueError: if the file is not what its header says, in one line.
    OSError: if it cannot be opened.
  """
  path = pathlib.Path(path)
  size = path.stat().st_size
  with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
      raise ValueError(
        f"{path} is cut off: {size} bytes are too few for its header"
      )
    if length > _MAX_HEADER:
      raise ValueError(f"{path}: a header of {length} bytes is too long")
    text = file.read(length)
  try:
    header = documents.parse(text)
    header.pop("__metadata__", None)
    return _tensors(header, path, 8 + length, size - 8 - length)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error


def _tensors(header, path, begin, size):
  tensors, spans = {}, []
  for name, entry in header.items():
    if not isinstance(entry, dict) or entry.keys() != {
      "dtype",
      "shape",
      "data_offsets",
    }:
      raise ValueError(f"the header says nothing usable of {name!r}")
    encoding, shape = entry["dtype"], entry["shape"]
    span = entry["data_offsets"]
    if not isinstance(encoding, str) or encoding not in stored.PLAIN:
      raise ValueError(
        f"{name!r} has type {encoding!r}, none of {', '.join(stored.PLAIN)}"
      )
    if not (
      _whole(shape) and len(shape) < 9 and _whole(span) and len(span) == 2
    ):
      raise ValueError(f"{name!r} has no proper shape and offsets")
    if math.prod(max(n, 1) for n in shape) >= 2**60:
      raise ValueError(f"{name!r} of shape {shape} is too large")
    expected = stored.size(encoding, tuple(shape))
    if span[1] - span[0] != expected or span[1] > size:
      raise ValueError(
        f"{name!r} of shape {shape} and type {encoding} does not fit its"
        f" offsets {span} in {size} bytes"
      )
    spans.append((*span, name))
    tensors[name] = stored.Stored(
      path=path, offset=begin + span[0], encoding=encoding, shape=tuple(shape)
    )
  end = 0
  for start, stop, name in sorted(spans):
    if start != end:
      raise ValueError(f"{name!r} starts at {start} where {end} was due")
    end = stop
  if end != size:
    raise ValueError(f"{size - end} bytes belong to no tensor")
  return tensors


def _whole(numbers):
  """Return whether this is a list of whole numbers, none negative."""
  return isinstance(numbers, list) and all(
    type(n) is int and n >= 0 for n in numbers
  )


def write(
  path: pathlib.Path,
  like: Mapping[str, Any],
  fetch: Callable[[str], np.ndarray],
) -> None:
  """Write a file, one tensor at a time; on return it is on the disk.

  Args:
    path: the file.
    like: of each tensor, by name, anything with its `shape` and `dtype`.
    fetch: returns the tensor of a name.

  Raises:
    ValueError: if a type is not one of `stored.PLAIN`.
  """
  encodings = {dtype: name for name, dtype in stored.PLAIN.items()}
  header, end = {"__metadata__": {"format": "pt"}}, 0
  for name, tensor in like.items():
    dtype = np.dtype(tensor.dtype)
    if dtype not in encodings:
      raise ValueError(
        f"{name!r} has type {dtype}, none of {', '.join(map(str, encodings))}"
      )
    start, end = end, end + math.prod(tensor.shape) * dtype.itemsize
    header[name] = {
      "dtype": encodings[dtype],
      "shape": list(tensor.shape),
      "data_offsets": [start, end],
    }
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  with path.open("wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for name in like:
      file.write(np.ascontiguousarray(fetch(name)).reshape(-1).view(np.uint8))
    file.flush()
    os.fsync(file.fileno())
