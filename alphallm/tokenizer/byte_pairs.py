"""Tokenizers in the form of `tokenizer.json`, by the `tokenizers` package."""

import functools
import json
from typing import Any

from alphallm.tokenizer import vocabulary


def package() -> Any:
  """Return `tokenizers`, which only pretrained models need.

  Raises:
    ValueError: if it is not installed.
  """
  try:
    import tokenizers
  except ImportError as error:
    raise ValueError(
      "this tokenizer is read by the package tokenizers: "
      "pip install 'alphallm[models]'"
    ) from error
  return tokenizers


class BytePairs(vocabulary.Vocabulary):
  """A `tokenizers.Tokenizer` whose tokens are bytes or SentencePiece's pieces.

  Attributes:
    model: the `tokenizers.Tokenizer`.
  """

  def __init__(self, model: Any, marks: vocabulary.Marks):
    """Make a tokenizer.

    Args:
      model: the tokenizer of the package; it loses its padding and truncation.
      marks: the special tokens.

    Raises:
      ValueError: if its decoder is none of those known here.
    """
    model.no_padding()
    model.no_truncation()
    self.model = model
    ids = model.get_vocab(with_added_tokens=True)
    size = max(ids.values(), default=-1) + 1
    if size > 2 * len(ids):
      raise ValueError(
        f"a vocabulary of {len(ids)} tokens has an id {size - 1}"
      )
    names = [""] * size
    for name, i in ids.items():
      names[i] = name
    added = model.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    to_bytes, strips_space = _decoder(model)
    token_bytes = [
      b"" if i in special else to_bytes(name) for i, name in enumerate(names)
    ]
    super().__init__(names, token_bytes, marks, strips_space=strips_space)

  def encode(self, text: str) -> list[int]:
    return self.model.encode(text, add_special_tokens=False).ids


def _decoder(model: Any):
  """Return a function from a token to its bytes, and `strips_space`."""
  decoder = json.loads(model.to_str()).get("decoder") or {"type": "none"}
  parts = decoder.get("decoders", [decoder])
  kinds = [part["type"] for part in parts]
  known = {"ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip"}
  if not set(kinds) <= known:
    raise ValueError(
      f"no tokenizer whose decoder is {'+'.join(kinds)} is known"
    )
  if "ByteLevel" in kinds:
    return _byte_level, False
  strips = any(
    part["type"] == "Strip"
    or part.get("prepend_scheme", "never") in ("always", "first")
    for part in parts
  )
  return _sentence_piece, strips


def _byte_level(token: str) -> bytes:
  letters = byte_of_letter()
  try:
    return bytes(letters[letter] for letter in token)
  except KeyError:
    return token.encode()


def _sentence_piece(token: str) -> bytes:
  if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
    try:
      return bytes([int(token[3:5], 16)])
    except ValueError:
      pass
  return token.replace("▁", " ").encode()


@functools.cache
def byte_of_letter() -> dict[str, int]:
  """Return the bytes of GPT-2's letters: a printable one for every byte."""
  printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
  others = [byte for byte in range(256) if byte not in printable]
  letters = {chr(byte): byte for byte in printable}
  return letters | {chr(256 + i): byte for i, byte in enumerate(others)}
