"""What all tokenizers have in common: the text of each token."""

import abc
import dataclasses
from collections.abc import Sequence

# Those of the tokenizers that are trained here. Arrays of tokens are padded
# with 0 whatever the tokenizer: lengths say where text ends, never the id,
# which in other vocabularies is a token like any other.
PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Marks:
  """The tokens of a vocabulary that stand around text.

  Attributes:
    eos_id: ends a text.
    bos_id: starts one, if the model knows such a token.
    end_ids: all that end a text, such as that of a turn; `eos_id` is added.
    prefix_ids: with which a text begins that is no chat.
    chat_template: how a conversation is written, in Jinja; see `chat`.
  """

  eos_id: int
  bos_id: int | None = None
  end_ids: tuple[int, ...] = ()
  prefix_ids: tuple[int, ...] = ()
  chat_template: str | None = None

  def __post_init__(self):
    ends = dict.fromkeys((self.eos_id, *self.end_ids))
    object.__setattr__(self, "end_ids", tuple(ends))


class Vocabulary(abc.ABC):
  """A tokenizer.

  Decoding puts the bytes of the tokens in a row: special tokens have none, and
  bytes that are no UTF-8 become U+FFFD.

  Attributes:
    marks: its special tokens.
    names: the name of each token, by which a special one is written in text.
    strips_space: whether a text loses one space at its left end in decoding,
      which encoding had put there.
  """

  pad_id = PAD_ID

  def __init__(
    self,
    names: Sequence[str],
    token_bytes: Sequence[bytes],
    marks: Marks,
    *,
    strips_space: bool = False,
  ):
    for i in (*marks.end_ids, *marks.prefix_ids, marks.bos_id):
      if i is not None and not 0 <= i < len(names):
        raise ValueError(
          f"the tokenizer's special id {i} is not one of {len(names)} tokens"
        )
    self.marks, self.names, self.strips_space = marks, names, strips_space
    self._bytes = token_bytes

  @property
  def vocab_size(self) -> int:
    return len(self.names)

  @property
  def eos_id(self) -> int:
    return self.marks.eos_id

  @property
  def bos_id(self) -> int | None:
    return self.marks.bos_id

  @property
  def end_ids(self) -> tuple[int, ...]:
    return self.marks.end_ids

  @abc.abstractmethod
  def encode(self, text: str) -> list[int]:
    """Return the ids of `text`, without `prefix_ids`.

    The names of special tokens in it are read as these tokens, except by the
    tokenizers that are trained here.
    """

  def token_bytes(self, token: int) -> bytes:
    """Return what a token adds to a text; nothing for ids beyond the last."""
    return self._bytes[token] if 0 <= token < len(self._bytes) else b""

  def decode(self, ids: Sequence[int]) -> str:
    """Return the text of `ids`; special tokens give nothing."""
    text = b"".join(self.token_bytes(int(i)) for i in ids)
    return self.without_space(text.decode("utf-8", "replace"))

  def without_space(self, text: str) -> str:
    """Return a decoded text without the space that encoding put there."""
    return text.removeprefix(" ") if self.strips_space else text

  def id(self, piece: str) -> int:
    """Return the id of a piece that must be one token.

    Raises:
      ValueError: if the vocabulary does not hold `piece`.
    """
    ids = self.encode(piece)
    known = len(ids) == 1 and (
      self.names[ids[0]] == piece or self.token_bytes(ids[0]) == piece.encode()
    )
    if not known:
      raise ValueError(f"{piece!r} is not one token of this vocabulary")
    return ids[0]
