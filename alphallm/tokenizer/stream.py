"""Decoding while ids are still coming, never cutting a character in two."""

import codecs
from collections.abc import Iterable

from alphallm.tokenizer import vocabulary


class Stream:
  """The text of a sequence of ids, as soon as its characters are whole.

  The texts returned, `finish` included, put in a row are what `decode` makes of
  all the ids.
  """

  def __init__(self, tokenizer: vocabulary.Vocabulary):
    self._tokenizer = tokenizer
    self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
    self._at_start = True

  def feed(self, ids: Iterable[int]) -> str:
    """Return what these ids have completed; empty within a character."""
    pieces = b"".join(self._tokenizer.token_bytes(int(i)) for i in ids)
    return self._begin(self._decoder.decode(pieces))

  def finish(self) -> str:
    """Return what is left: U+FFFD for a character that was never completed."""
    return self._begin(self._decoder.decode(b"", final=True))

  def _begin(self, text: str) -> str:
    if self._at_start and text:
      self._at_start = False
      return self._tokenizer.without_space(text)
    return text
