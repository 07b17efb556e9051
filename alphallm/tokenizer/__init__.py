"""Text to token ids and back.

`folders` reads the tokenizers of pretrained models and `gguf_vocabulary` those
of GGUF files, `chat` writes conversations, and `stream` decodes while ids are
still coming.
"""

from alphallm.tokenizer.sentence_pieces import SentencePieces, Tokenizer
from alphallm.tokenizer.vocabulary import (
  BOS_ID,
  EOS_ID,
  PAD_ID,
  UNK_ID,
  Marks,
  Vocabulary,
)

__all__ = [
  "BOS_ID",
  "EOS_ID",
  "PAD_ID",
  "UNK_ID",
  "Marks",
  "SentencePieces",
  "Tokenizer",
  "Vocabulary",
]
