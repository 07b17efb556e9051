import foreign_tokenizers as foreign
import numpy as np
import pytest
import tokenizers

from alphallm import tokenizer
from alphallm.tokenizer import byte_pairs, stream


def vocabularies():
  marks = tokenizer.Marks(eos_id=0)
  model = tokenizers.Tokenizer.from_str(foreign.byte_level_json())
  return {
    "byte_level": byte_pairs.BytePairs(model, marks),
    "bytes_as_pieces": tokenizer.SentencePieces(foreign.sentence_pieces()),
    "characters": tokenizer.Tokenizer.train(foreign.TEXT),
  }


@pytest.mark.parametrize("name", vocabularies())
def test_characters_come_whole(name):
  vocabulary = vocabularies()[name]
  text = "naïve 🙂 東京 ok"
  ids = vocabulary.encode(text)
  assert len(ids) > 8
  decoder = stream.Stream(vocabulary)
  parts = [decoder.feed([i]) for i in ids]
  assert "".join(parts) == text and decoder.finish() == ""
  assert all("\ufffd" not in part for part in parts)
  if name != "characters":
    assert "" in parts  # within a character of several tokens


@pytest.mark.parametrize("name", vocabularies())
def test_any_ids_in_any_portions(name):
  vocabulary = vocabularies()[name]
  rng = np.random.default_rng(0)
  for _ in range(100):
    ids = rng.integers(0, vocabulary.vocab_size, 20)
    decoder = stream.Stream(vocabulary)
    cuts = np.sort(rng.integers(0, 21, 4))
    text = "".join(decoder.feed(part) for part in np.split(ids, cuts))
    assert text + decoder.finish() == vocabulary.decode(ids)
