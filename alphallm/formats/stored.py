"""A tensor in a file, and how its numbers are encoded there."""

import dataclasses
import math
import pathlib

import ml_dtypes
import numpy as np

from alphallm.formats import blocks

# Types of numpy that are stored as they are, by their name in files.
PLAIN = {
  "F32": np.dtype(np.float32),
  "F16": np.dtype(np.float16),
  "BF16": np.dtype(ml_dtypes.bfloat16),
}


def size(encoding: str, shape: tuple[int, ...]) -> int:
  """Return the bytes of a tensor.

  Raises:
    ValueError: if its rows are no whole number of blocks.
  """
  numbers = math.prod(shape)
  if encoding in PLAIN:
    return numbers * PLAIN[encoding].itemsize
  kind = blocks.KINDS[encoding]
  if len(shape) < 2 or shape[-1] % kind.numbers:
    raise ValueError(
      f"shape {list(shape)} has no rows of whole blocks of {encoding}"
    )
  return numbers // kind.numbers * kind.bytes


@dataclasses.dataclass(frozen=True)
class Stored:
  """A tensor that lies in a file and was found to fit into it.

  Attributes:
    path: the file.
    offset: its first byte there.
    encoding: one of `PLAIN` or of `blocks.KINDS`.
    shape: its dimensions, the last varies fastest.
  """

  path: pathlib.Path
  offset: int
  encoding: str
  shape: tuple[int, ...]

  @property
  def num_rows(self) -> int:
    return self.shape[0] if self.shape else 1

  def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return the rows from `start` to `stop`, along the first dimension.

    Returns:
      `[rows, ...]` in the type of the file, float32 where that is of blocks; a
      number without dimensions is one row.

    Raises:
      ValueError: if the file has become shorter since it was opened.
    """
    stop = self.num_rows if stop is None else min(stop, self.num_rows)
    row = size(self.encoding, (1, *self.shape[1:]))
    with self.path.open("rb") as file:
      file.seek(self.offset + start * row)
      data = file.read((stop - start) * row)
    if len(data) != (stop - start) * row:
      raise ValueError(f"{self.path} became shorter while it was read")
    if self.encoding in PLAIN:
      rows = np.frombuffer(data, PLAIN[self.encoding])
    else:
      rows = blocks.decode(self.encoding, np.frombuffer(data, np.uint8))
    return rows.reshape((stop - start, *self.shape[1:]))
