"""Text to token ids and back, by a SentencePiece model."""

import io
import pathlib
from collections.abc import Iterable, Sequence

import sentencepiece

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3


class Tokenizer:
  """A SentencePiece model whose ids 0 to 3 are pad, unknown, start and end.

  Attributes:
    proto: the serialized SentencePiece model; equal bytes, equal tokenizer.
  """

  pad_id, unk_id, bos_id, eos_id = PAD_ID, UNK_ID, BOS_ID, EOS_ID

  def __init__(self, proto: bytes):
    try:
      self._model = sentencepiece.SentencePieceProcessor(model_proto=proto)
    except RuntimeError as error:
      raise ValueError("not a SentencePiece model") from error
    ids = (
      self._model.pad_id(),
      self._model.unk_id(),
      self._model.bos_id(),
      self._model.eos_id(),
    )
    if ids != (PAD_ID, UNK_ID, BOS_ID, EOS_ID):
      raise ValueError(
        f"the tokenizer's pad, unk, bos and eos ids are {ids}, not 0 to 3"
      )
    self.proto = proto

  @classmethod
  def train(
    cls,
    text: Iterable[str],
    *,
    model_type: str = "char",
    vocab_size: int = 1000,
  ) -> "Tokenizer":
    """Train a model on lines of text; the newline is a token of its own.

    Args:
      text: lines, without their newlines.
      model_type: `"char"`, or `"unigram"` for longer pieces.
      vocab_size: an upper bound on the number of ids.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(text),
      model_writer=model,
      model_type=model_type,
      vocab_size=vocab_size,
      hard_vocab_limit=False,
      character_coverage=1.0,
      normalization_rule_name="identity",
      add_dummy_prefix=False,
      remove_extra_whitespaces=False,
      split_digits=True,
      user_defined_symbols=["\n"],
      pad_id=PAD_ID,
      unk_id=UNK_ID,
      bos_id=BOS_ID,
      eos_id=EOS_ID,
      minloglevel=2,
    )
    return cls(model.getvalue())

  @classmethod
  def load(cls, path) -> "Tokenizer":
    return cls(pathlib.Path(path).read_bytes())

  def save(self, path) -> None:
    pathlib.Path(path).write_bytes(self.proto)

  @property
  def vocab_size(self) -> int:
    return self._model.vocab_size()

  def encode(self, text: str) -> list[int]:
    return self._model.encode(text)

  def decode(self, ids: Sequence[int]) -> str:
    """Return the text of `ids`; pad, start and end ids give nothing."""
    return self._model.decode([int(i) for i in ids if int(i) != PAD_ID])

  def id(self, piece: str) -> int:
    """Return the id of a piece that must be one token.

    Raises:
      ValueError: if the vocabulary does not hold `piece`.
    """
    ids = self.encode(piece)
    if len(ids) != 1 or ids[0] == UNK_ID:
      raise ValueError(f"{piece!r} is not one token of this vocabulary")
    return ids[0]
