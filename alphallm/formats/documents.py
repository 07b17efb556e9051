"""JSON objects from files that may hold anything."""

import json
import pathlib
from typing import Any

_MAX_BYTES = 2**25


def parse(text: bytes) -> dict[str, Any]:
  """Return the object that a JSON text is.

  Raises:
    ValueError: if it is none, or names something twice.
  """
  try:
    found = json.loads(text.decode(), object_pairs_hook=_object)
  except RecursionError as error:
    raise ValueError("the JSON is nested too deep") from error
  except UnicodeDecodeError as error:
    raise ValueError("the JSON is not in UTF-8") from error
  except json.JSONDecodeError as error:
    raise ValueError(f"the JSON is malformed: {error}") from error
  if not isinstance(found, dict):
    raise ValueError("the JSON is not an object")
  return found


def read(path: pathlib.Path) -> dict[str, Any]:
  """Return the object in a JSON file.

  Raises:
    ValueError: if there is none in it, or it is too long to be one of ours.
    OSError: if it cannot be opened.
  """
  with path.open("rb") as file:
    text = file.read(_MAX_BYTES + 1)
  if len(text) > _MAX_BYTES:
    raise ValueError(f"{path} is longer than {_MAX_BYTES} bytes")
  try:
    return parse(text)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error


def _object(pairs):
  found = dict(pairs)
  if len(found) != len(pairs):
    raise ValueError("the JSON names something twice")
  return found
