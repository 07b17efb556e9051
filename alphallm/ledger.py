"""What has been measured, kept on disk, so that a stopped measurement goes on.

A folder holds a file of NumPy arrays for each thing measured, all under one
key: what was measured under another is dropped. Of several processes the first
alone writes.
"""

import hashlib
import pathlib
import sys
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any
from urllib import parse

import jax
import numpy as np

_KEY = "key.txt"


def key_of(*parts: Any) -> str:
  """Return a hash of what results depend on: of some parts, and of the code.

  Args:
    *parts: pytrees of arrays, numbers and strings.
  """
  digest = hashlib.sha256()
  for path in sorted(pathlib.Path(__file__).parent.rglob("*.py")):
    digest.update(path.read_bytes())
  digest.update(f"{jax.__version__} {jax.default_backend()}".encode())
  leaves, shape = jax.tree.flatten(parts)
  digest.update(str(shape).encode())
  for leaf in leaves:
    array = np.asarray(leaf)
    digest.update(f"{array.dtype} {array.shape}".encode())
    digest.update(array.tobytes())
  return digest.hexdigest()


class Ledger:
  """A folder of results.

  Attributes:
    was_of_another: whether what it held was of another key, and is gone.
  """

  def __init__(self, folder, key: str):
    """Open a folder, and make it if there is none."""
    self._folder = pathlib.Path(folder)
    self._writes = jax.process_index() == 0
    if self._writes:
      self._folder.mkdir(parents=True, exist_ok=True)
    marked = self._folder / _KEY
    known = marked.exists() and marked.read_text() == key
    found = list(self._folder.glob("*.npz"))
    self.was_of_another = bool(found) and not known
    if self._writes and not known:
      for path in found:
        path.unlink()
      marked.write_text(key)

  def read(self, name: str) -> dict[str, np.ndarray]:
    """Return the arrays kept under a name; none if there are none."""
    path = self._path(name)
    if not path.exists():
      return {}
    try:
      with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
      print(f"{path} is damaged, and measured anew", file=sys.stderr)
      return {}

  def write(self, name: str, arrays: Mapping[str, Any]) -> None:
    """Keep arrays under a name, in place of those before, whole or not."""
    if not self._writes:
      return
    path = self._path(name)
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
      np.savez_compressed(file, **arrays)
    unfinished.replace(path)

  def _path(self, name: str) -> pathlib.Path:
    return self._folder / f"{parse.quote(name, safe=' ')}.npz"
