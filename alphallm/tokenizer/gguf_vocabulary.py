"""The tokenizer that the metadata of a GGUF file holds."""

from collections.abc import Mapping
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from alphallm.tokenizer import byte_pairs, sentence_pieces, vocabulary

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # some of GGUF's kinds of tokens

_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s|"
  r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def from_metadata(metadata: Mapping[str, Any]) -> vocabulary.Vocabulary:
  """Make a tokenizer.

  Args:
    metadata: the keys of a GGUF file with their values as Python's: strings,
      numbers, bools, and lists of those. Only `tokenizer.*` are read.

  Raises:
    ValueError: one line that says what is missing, wrong or not known.
  """
  kind = metadata.get("tokenizer.ggml.model")
  makers = {"gpt2": _byte_pairs, "llama": _sentence_pieces}
  if kind not in makers:
    raise ValueError(
      f"a GGUF tokenizer of the model {kind!r} is none of {', '.join(makers)}"
    )
  names = _list(metadata, "tokens", str)
  if len(set(names)) < len(names):
    raise ValueError("tokenizer.ggml.tokens names a token twice")
  kinds = [_NORMAL] * len(names)
  if "tokenizer.ggml.token_type" in metadata or kind == "llama":
    kinds = _list(metadata, "token_type", int, len(names))
  return makers[kind](
    metadata, names, kinds, _marks(metadata, len(names), kind)
  )


def _marks(metadata, size: int, kind: str) -> vocabulary.Marks:
  def token(name):
    i = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if i is not None and (not isinstance(i, int) or not 0 <= i < size):
      raise ValueError(f"tokenizer.ggml.{name}_token_id={i!r} is no token")
    return i

  eos_id, bos_id = token("eos"), token("bos")
  if eos_id is None:
    raise ValueError("the tokenizer has no end-of-sequence token")
  ends = [i for i in (token("eot"), token("eom")) if i is not None]
  adds = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama")
  return vocabulary.Marks(
    eos_id=eos_id,
    bos_id=bos_id,
    end_ids=tuple(ends),
    prefix_ids=(bos_id,) if adds and bos_id is not None else (),
    chat_template=metadata.get("tokenizer.chat_template"),
  )


def _byte_pairs(metadata, names, kinds, marks):
  package = byte_pairs.package()
  dialect = metadata.get("tokenizer.ggml.pre", "gpt-2")
  split = _dialects(package)
  if dialect not in split:
    raise ValueError(
      f"tokenizer.ggml.pre={dialect!r} is none of {', '.join(split)}"
    )
  merges = []
  for merge in _list(metadata, "merges", str):
    pair = tuple(merge.split(" "))
    if len(pair) != 2:
      raise ValueError(f"tokenizer.ggml.merges: {merge[:40]!r} is no pair")
    merges.append(pair)
  try:
    bpe = package.models.BPE(
      vocab={name: i for i, name in enumerate(names)},
      merges=merges,
      ignore_merges=dialect == "llama-bpe",
    )
  except Exception as error:  # the package raises nothing narrower
    raise ValueError(f"tokenizer.ggml.merges: {error}") from error
  model = package.Tokenizer(bpe)
  model.pre_tokenizer = package.pre_tokenizers.Sequence(split[dialect])
  if dialect == "qwen2":
    model.normalizer = package.normalizers.NFC()
  model.decoder = package.decoders.ByteLevel()
  added = [
    package.AddedToken(name, normalized=False, special=kind == _CONTROL)
    for name, kind in zip(names, kinds, strict=True)
    if kind in (_CONTROL, _USER_DEFINED)
  ]
  model.add_tokens(added)
  if marks.prefix_ids:  # which those who read it saved are to know
    (prefix,) = marks.prefix_ids
    model.post_processor = package.processors.TemplateProcessing(
      single=[names[prefix], "$A"], special_tokens=[(names[prefix], prefix)]
    )
  return byte_pairs.BytePairs(model, marks)


def _dialects(package):
  """Return how models cut text into words, by llama.cpp's names."""
  pre_tokenizers = package.pre_tokenizers
  by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

  def words(digits):
    return [
      pre_tokenizers.Split(package.Regex(_WORDS % digits), "isolated"),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]

  return {
    "gpt-2": [by_bytes],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), by_bytes],
    "llama-bpe": words("{1,3}"),
    "qwen2": words(""),
  }


def _sentence_pieces(metadata, names, kinds, marks):
  scores = _list(metadata, "scores", float, len(names))
  model = sentencepiece_model_pb2.ModelProto()
  allowed = model.SentencePiece.Type.values()
  for name, score, kind in zip(names, scores, kinds, strict=True):
    if kind not in allowed:
      raise ValueError(f"tokenizer.ggml.token_type: {kind} is not known")
    model.pieces.add(piece=name, score=score, type=kind)
  model.trainer_spec.model_type = model.trainer_spec.BPE
  model.trainer_spec.byte_fallback = model.SentencePiece.BYTE in kinds
  spec = model.normalizer_spec
  spec.name = "identity"
  spec.add_dummy_prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
  spec.remove_extra_whitespaces = metadata.get(
    "tokenizer.ggml.remove_extra_whitespaces", False
  )
  proto = model.SerializeToString(deterministic=True)
  return sentence_pieces.SentencePieces(proto, marks)


def _list(metadata, name: str, kind: type, size: int | None = None) -> list:
  values = metadata.get(f"tokenizer.ggml.{name}")
  if not isinstance(values, list) or not values:
    raise ValueError(f"tokenizer.ggml.{name} is missing or empty")
  if size is not None and len(values) != size:
    raise ValueError(
      f"tokenizer.ggml.{name} holds {len(values)} values for {size} tokens"
    )
  if not all(isinstance(value, kind) for value in values):
    raise ValueError(f"tokenizer.ggml.{name} is not of {kind.__name__} alone")
  return values
