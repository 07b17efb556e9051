"""Tokenizers by SentencePiece models: those trained here, and foreign ones."""

import functools
import io
import pathlib
import re
from collections.abc import Iterable, Sequence

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from alphallm.tokenizer import vocabulary
from alphallm.tokenizer.vocabulary import BOS_ID, EOS_ID, PAD_ID, UNK_ID

_SPACE = "▁"  # how SentencePiece writes a space


class SentencePieces(vocabulary.Vocabulary):
  """A SentencePiece model with special tokens of its own.

  Attributes:
    proto: the serialized SentencePiece model; equal bytes, equal tokenizer.
  """

  def __init__(self, proto: bytes, marks: vocabulary.Marks | None = None):
    """Make a tokenizer.

    Args:
      proto: the serialized model.
      marks: its special tokens; `None`: those that the model names.

    Raises:
      ValueError: if it is no such model, or has no end-of-sequence token.
    """
    spec = sentencepiece_model_pb2.ModelProto()
    try:
      self._model = sentencepiece.SentencePieceProcessor(model_proto=proto)
      spec.ParseFromString(proto)
    except Exception as error:  # that of protobuf has no public name
      raise ValueError("not a SentencePiece model") from error
    self.proto = proto
    if marks is None:
      marks = self._marks()
    names = [piece.piece for piece in spec.pieces]
    if not all(isinstance(name, str) for name in names):  # bytes, if no UTF-8
      raise ValueError("not a SentencePiece model: a piece is not UTF-8")
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    self._special = {
      piece.piece: i
      for i, piece in enumerate(spec.pieces)
      if piece.type == kinds.CONTROL
    }
    unknown = spec.trainer_spec.unk_surface.encode()

    def token_bytes(piece):
      if piece.type in (kinds.CONTROL, kinds.UNUSED):
        return b""
      if piece.type == kinds.UNKNOWN:
        return unknown
      if piece.type == kinds.BYTE:
        return bytes([int(piece.piece[3:-1], 16)])
      return piece.piece.replace(_SPACE, " ").encode()

    super().__init__(
      names,
      [token_bytes(piece) for piece in spec.pieces],
      marks,
      strips_space=spec.normalizer_spec.add_dummy_prefix,
    )

  def _marks(self) -> vocabulary.Marks:
    eos_id, bos_id = self._model.eos_id(), self._model.bos_id()
    if eos_id < 0:
      raise ValueError("the tokenizer has no end-of-sequence token")
    if bos_id < 0:
      return vocabulary.Marks(eos_id=eos_id)
    return vocabulary.Marks(eos_id=eos_id, bos_id=bos_id, prefix_ids=(bos_id,))

  @functools.cached_property
  def _special_names(self) -> re.Pattern:
    names = sorted(self._special, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, names)) + ")")

  def encode(self, text: str) -> list[int]:
    if not self._special:
      return self._model.encode(text)
    ids = []
    for part in self._special_names.split(text):
      if part in self._special:
        ids.append(self._special[part])
      elif part:
        ids += self._model.encode(part)
    return ids


class Tokenizer(SentencePieces):
  """A model trained here: ids 0 to 3 are pad, unknown, start and end.

  The names of special tokens are text like any other.
  """

  def __init__(self, proto: bytes):
    marks = vocabulary.Marks(eos_id=EOS_ID, bos_id=BOS_ID)
    super().__init__(proto, marks)
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
    self._special = {}

  @classmethod
  def train(
    cls,
    text: Iterable[str],
    *,
    model_type: str = "char",
    vocab_size: int = 1000,
    symbols: Sequence[str] = (),
  ) -> "Tokenizer":
    """Train a model on lines of text; the newline is a token of its own.

    Args:
      text: lines, without their newlines.
      model_type: `"char"`, or `"unigram"` for longer pieces.
      vocab_size: an upper bound on the number of ids.
      symbols: texts that are one token each, wherever they stand.
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
      user_defined_symbols=["\n", *symbols],
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
