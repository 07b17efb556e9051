"""Tests of records: their forms, their order, and what is refused."""

import json

import foreign_tokenizers
import numpy as np
import pytest
import tensorflow_datasets as tfds

from alphallm import tasks, tokenizer
from alphallm.initialization import records

WORDS = tokenizer.Tokenizer.train(["abcdefghijklmnopqrstuvwxyz ?."])
LINES = [{"text": f"text {c}."} for c in "abcdefghij"]


def write(path, lines):
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  return str(path)


def parts(words, document):
  """Return a document as text, learnt parts in brackets."""
  text, inside = "", False
  for token, learnt in zip(document.tokens, document.is_response, strict=True):
    text += ("[" if learnt else "]") * bool(learnt != inside)
    name = words.names[token]
    text += name if words.token_bytes(token) == b"" else words.decode([token])
    inside = learnt
  return text + "]" * bool(inside)


@pytest.mark.parametrize(
  ("record", "wanted"),
  [
    ({"text": "to be"}, "[to be</s>]"),
    ({"text": b"to be"}, "[to be</s>]"),
    ({"prompt": "or not?", "response": " yes."}, "or not?[ yes.</s>]"),
  ],
)
def test_forms(record, wanted):
  assert parts(WORDS, records.encode(WORDS, record)) == wanted


def test_of_a_chat_each_answer_is_learnt():
  words = foreign_tokenizers.byte_pairs()
  said = ["system", "user", "assistant", "user", "assistant"]
  messages = [{"role": role, "content": f"m{i}"} for i, role in enumerate(said)]
  document = records.encode(words, {"messages": messages})
  assert parts(words, document) == (
    "<|start|>system\nm0<|end|>\n<|start|>user\nm1<|end|>\n"
    "<|start|>assistant\n[m2<|end|>\n]<|start|>user\nm3<|end|>\n"
    "<|start|>assistant\n[m4<|end|>\n]"
  )


@pytest.mark.parametrize(
  ("record", "words"),
  [
    ({"prompt": "a"}, '"response" is no text'),
    ({"text": ""}, '"text" is no text'),
    ({"text": 3}, '"text" is no text'),
    ({"messages": []}, "is no list of messages"),
    ({"messages": ["hi"]}, '"role" is no text'),
    ({"messages": [{"role": "user", "content": "a"}]}, "the assistant says"),
  ],
)
def test_what_has_no_form_is_refused(record, words):
  with pytest.raises(ValueError, match=words):
    records.encode(WORDS, record)


def test_each_epoch_reads_each_record_once(tmp_path):
  config = records.RecordsConfig(
    path=write(tmp_path / "c.jsonl", LINES), validation_every=5
  )
  learnt = records.Records(config, WORDS, "train", seed=1)
  kept = records.Records(config, WORDS, "test", seed=1)
  read = lambda source, i: WORDS.decode(source.read(i).tokens)[-2]
  epochs = [[read(learnt, 8 * e + i) for i in range(8)] for e in range(2)]
  assert epochs[0] != epochs[1] and set(epochs[0]) == set(epochs[1])
  assert {read(kept, i) for i in range(4)} == {"e", "j"}
  assert not set(epochs[0]) & {"e", "j"}
  again = records.Records(config, WORDS, "train", seed=1)
  assert [read(again, i) for i in (9, 2)] == [epochs[1][1], epochs[0][2]]


class Corpus(tfds.core.GeneratorBasedBuilder):
  """A corpus of pairs."""

  VERSION = tfds.core.Version("1.0.0")

  def _info(self):
    text = tfds.features.Text()
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict({"prompt": text, "response": text}),
    )

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for i, c in enumerate("abcd"):
      yield i, {"prompt": f"what? {c}", "response": f" that {c}."}


def test_a_dataset_of_tfds(tmp_path):
  Corpus(
    data_dir=str(tmp_path), file_format="array_record"
  ).download_and_prepare()
  config = records.RecordsConfig(dataset="corpus", data_dir=str(tmp_path))
  source = records.Records(config, WORDS, "train", seed=0)
  found = {parts(WORDS, source.read(i)) for i in range(4)}
  assert found == {f"what? {c}[ that {c}.</s>]" for c in "abcd"}
  for wrong in ({"split": "nowhere"}, {"dataset": "nothing"}):
    options = {"dataset": "corpus", "data_dir": str(tmp_path)} | wrong
    with pytest.raises(ValueError, match="no dataset '"):
      config = records.RecordsConfig(**options)
      records.Records(config, WORDS, "train", seed=0)


def test_wrong_settings_are_refused(tmp_path):
  for options in ({}, {"path": "a", "dataset": "b", "data_dir": "c"}):
    with pytest.raises(ValueError, match="a path or a dataset"):
      records.RecordsConfig(**options)
  with pytest.raises(ValueError, match="data_dir is missing"):
    records.RecordsConfig(dataset="b")
  config = records.RecordsConfig(path=write(tmp_path / "c.jsonl", LINES))
  with pytest.raises(ValueError, match="of 10 records none is of the split"):
    records.Records(config, WORDS, "test", seed=0)
  broken = [{"text": "a"}, {"txt": "b"}]
  config = records.RecordsConfig(path=write(tmp_path / "d.jsonl", broken))
  source = records.Records(config, WORDS, "train", seed=0)
  with pytest.raises(ValueError, match='record 1: "prompt" is no text'):
    _ = source.read(0), source.read(1)


def test_worked_answers_are_those_of_the_task():
  task = tasks.Sums(worked=True, max_operations=2)
  source = records.WorkedAnswers(task, "train", seed=0)
  for index in range(3):
    document = source.read(index)
    np.testing.assert_array_equal(document.tokens, source.read(index).tokens)
    prompt, _, answer = parts(task.tokenizer, document).partition("[")
    assert prompt.endswith(" =\n") and "####" in answer


def test_a_corpus_of_text_or_records(tmp_path):
  (tmp_path / "c.txt").write_text("one\n\ntwo\n")
  assert records.read_corpus(tmp_path / "c.txt") == ["one", "two"]
  chat = {"messages": [{"role": "user", "content": "five\nsix"}]}
  lines = [{"text": "three"}, {"prompt": "four", "response": "4"}, chat]
  path = write(tmp_path / "c.jsonl", lines)
  assert records.read_corpus(path) == ["three", "four", "4", "five", "six"]
  with pytest.raises(ValueError, match='d.jsonl, line 1: "prompt" is no text'):
    records.read_corpus(write(tmp_path / "d.jsonl", [{}]))
