import json
import random

import foreign_tokenizers as foreign
import numpy as np
import pytest
import sentencepiece
import tokenizers

from alphallm import tokenizer
from alphallm.tokenizer import folders

TEXTS = [*foreign.TEXT[:3], "", "  two  spaces ", "\n\n", "1234", "\u00a0é"]


def write_json(folder, config=None, generation=None):
  (folder / "tokenizer.json").write_text(foreign.byte_level_json())
  config = {"eos_token": "<|end|>", "bos_token": "<|start|>"} | (config or {})
  (folder / "tokenizer_config.json").write_text(json.dumps(config))
  if generation:
    (folder / "generation_config.json").write_text(json.dumps(generation))
  return folder


def write_model(folder, **options):
  (folder / "tokenizer.model").write_bytes(foreign.sentence_pieces(**options))
  return folder


@pytest.mark.parametrize("write", [write_json, write_model])
def test_texts_come_back(tmp_path, write):
  loaded = folders.load(write(tmp_path))
  for text in TEXTS:
    assert loaded.decode(loaded.encode(text)) == text


def test_a_tokenizer_json_is_as_the_package_reads_it(tmp_path):
  model = tokenizers.Tokenizer.from_str(foreign.byte_level_json())
  loaded = folders.load(write_json(tmp_path))
  rng = np.random.default_rng(0)
  for text in TEXTS:
    assert (
      loaded.encode(text) == model.encode(text, add_special_tokens=False).ids
    )
  for _ in range(50):
    ids = rng.integers(0, loaded.vocab_size, 12).tolist()
    assert loaded.decode(ids) == model.decode(ids)
  assert loaded.eos_id == 0 and loaded.bos_id == 1
  assert loaded.end_ids == (0,) and loaded.marks.prefix_ids == (1,)
  assert loaded.id("\n") == model.token_to_id("Ċ")
  assert loaded.encode("a<|end|>") == [loaded.id("a"), 0]
  with pytest.raises(ValueError, match="'lazy dog' is not one token"):
    loaded.id("lazy dog")
  assert loaded.decode([loaded.vocab_size + 3]) == ""


@pytest.mark.parametrize("prefix", [True, False])
def test_a_foreign_sentence_piece_model(tmp_path, prefix):
  write_model(tmp_path, add_dummy_prefix=prefix)
  loaded = folders.load(tmp_path / "tokenizer.model")
  model = sentencepiece.SentencePieceProcessor(model_proto=loaded.proto)
  assert (loaded.bos_id, loaded.eos_id) == (1, 2)
  assert loaded.marks.prefix_ids == (1,)
  for text in TEXTS:
    ids = model.encode(text)
    assert loaded.encode(text) == ids
    assert loaded.decode([1, *ids, 2]) == model.decode(ids) == text
  assert loaded.encode("<s>a</s>") == [1, *model.encode("a"), 2]


def test_an_end_of_several_tokens_and_templates(tmp_path):
  write_json(
    tmp_path,
    {"chat_template": [{"name": "default", "template": "a"}]},
    {"eos_token_id": [5, 0]},
  )
  loaded = folders.load(tmp_path)
  assert loaded.end_ids == (0, 5) and loaded.marks.chat_template == "a"
  (tmp_path / "chat_template.jinja").write_text("b")
  assert folders.load(tmp_path).marks.chat_template == "b"


@pytest.mark.parametrize("write", [write_json, write_model])
def test_what_is_saved_is_loaded(tmp_path, write):
  (tmp_path / "a").mkdir()
  first = folders.load(write(tmp_path / "a"))
  folders.save(first, tmp_path / "b" / "c")
  again = folders.load(tmp_path / "b" / "c")
  assert again.marks == first.marks and again.names == first.names
  for text in TEXTS:
    assert again.encode(text) == first.encode(text)


def test_the_tokenizers_trained_here_are_read_too(tmp_path):
  ours = tokenizer.Tokenizer.train(["abc 123"])
  ours.save(tmp_path / "tokenizer.model")
  loaded = folders.load(tmp_path)
  assert loaded.encode("ab\n1 ") == ours.encode("ab\n1 ")
  assert loaded.eos_id == ours.eos_id and ours.encode("<s>")[0] != 2


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ({}, "neither tokenizer.json nor tokenizer.model"),
    ({"tokenizer.json": "{"}, "tokenizer.json: not a tokenizer"),
    ({"tokenizer.json": '{"model": {"type": "BPE"}}'}, "not a tokenizer"),
    ({"tokenizer.model": "nonsense"}, "not a SentencePiece model"),
    ({"tokenizer.json": None}, "no end-of-sequence token"),
    (
      {"tokenizer.json": None, "tokenizer_config.json": "["},
      "tokenizer_config.json: not JSON",
    ),
    (
      {"tokenizer.json": None, "tokenizer_config.json": '{"eos_token": "no"}'},
      "eos_token 'no' is no token",
    ),
    (
      {
        "tokenizer.json": None,
        "generation_config.json": '{"eos_token_id": 9e9}',
      },
      "is not of numbers alone",
    ),
    (
      {
        "tokenizer.json": None,
        "generation_config.json": '{"eos_token_id": 999}',
      },
      "special id 999 is not one of",
    ),
  ],
)
def test_malformed_folders(tmp_path, files, message):
  for name, content in files.items():
    content = foreign.byte_level_json() if content is None else content
    (tmp_path / name).write_text(content)
  with pytest.raises(ValueError, match=message) as error:
    folders.load(tmp_path)
  assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_unknown_decoders_are_refused(tmp_path):
  spec = json.loads(foreign.byte_level_json())
  spec["decoder"] = {"type": "BPEDecoder", "suffix": "</w>"}
  write_json(tmp_path)
  (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
  with pytest.raises(ValueError, match="decoder is BPEDecoder"):
    folders.load(tmp_path)


def test_damaged_files_end_in_one_line(tmp_path):
  """Values of a `tokenizer.json` and bytes of a model, changed at random."""
  rng = random.Random(0)
  write_json(tmp_path)
  spec = json.loads(foreign.byte_level_json())
  values = [None, -1, 10**9, "", [], {}, 1.5, True, 2**32 - 1]
  model = bytearray(foreign.sentence_pieces())
  for i in range(120):
    damaged, place = dict(spec), spec
    part = damaged
    while isinstance(place, (dict, list)) and len(place):
      keys = list(place) if isinstance(place, dict) else range(len(place))
      key = rng.choice(keys)
      if not isinstance(place[key], (dict, list)) or rng.random() < 0.2:
        part[key] = rng.choice(values)
        break
      part[key] = place[key].copy()
      part, place = part[key], place[key]
    (tmp_path / "tokenizer.json").write_text(json.dumps(damaged))
    (tmp_path / "tokenizer.model").write_bytes(
      model[: rng.randrange(len(model))] + rng.randbytes(i % 3)
    )
    for name in "tokenizer.json", "tokenizer.model":
      try:
        loaded = folders.load(tmp_path / name)
        loaded.decode(loaded.encode(TEXTS[0]))
      except ValueError as error:
        assert "\n" not in str(error)
