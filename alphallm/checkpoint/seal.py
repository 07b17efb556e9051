"""A seal on a folder: the size and checksum of every file in it."""

import json
import zlib

NAME = "seal.json"


def write(folder) -> None:
  """Seal a folder (a `pathlib.Path`) as it is now."""
  files = {
    str(path.relative_to(folder)): [path.stat().st_size, _checksum(path)]
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != NAME
  }
  unfinished = folder / f"{NAME}.tmp"
  unfinished.write_text(json.dumps(files, indent=1))
  unfinished.rename(folder / NAME)


def broken(folder, *, quick: bool = False) -> str | None:
  """Return what is wrong with a folder, None where nothing is.

  Args:
    folder: a `pathlib.Path`. One without a seal passes: its writer may have
      ended before it came to seal it.
    quick: whether to compare only sizes for files above a megabyte.
  """
  try:
    if not (folder / NAME).exists():
      return None
    files = json.loads((folder / NAME).read_text())
    for name, (size, checksum) in files.items():
      path = folder / name
      if not path.is_file():
        return f"{path} is missing"
      if path.stat().st_size != size:
        return f"{path} has {path.stat().st_size} bytes instead of {size}"
      if not (quick and size > 1 << 20) and _checksum(path) != checksum:
        return f"{path} has changed since it was written"
  except (OSError, ValueError, AttributeError, TypeError) as error:
    return f"{folder / NAME} cannot be read ({type(error).__name__})"
  return None


def set_aside(folder) -> None:
  """Rename a broken folder: `.damaged`, or `.damaged2` ..., goes behind it."""
  number, aside = 1, folder.with_name(f"{folder.name}.damaged")
  while aside.exists():
    number += 1
    aside = folder.with_name(f"{folder.name}.damaged{number}")
  folder.rename(aside)


def _checksum(path):
  checksum = 0
  with path.open("rb") as file:
    while block := file.read(1 << 20):
      checksum = zlib.crc32(block, checksum)
  return checksum
