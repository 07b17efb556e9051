"""Tests of the program that trains vocabularies."""

import programs

from alphallm import tokenizer


def test_a_vocabulary_of_a_corpus(tmp_path):
  corpus, out = programs.ROOT / "LICENSE", tmp_path / "v.model"
  ended = programs.run(
    "vocabulary",
    f"--corpus={corpus}",
    f"--out={out}",
    "--size=300",
    "--symbols=<a>,<b>",
  )
  assert ended.code == 0 and "bytes a token" in ended.out, ended
  words = tokenizer.Tokenizer.load(out)
  assert words.vocab_size == 300
  assert len(words.encode("<b>")) == 1 and words.id("\n") >= 4
  assert [words.decode([i]) for i in words.encode("2004")] == list("2004")
  text = "the terms and conditions of the License"
  assert len(words.encode(text)) < len(text) / 2
  assert words.decode(words.encode(text)) == text


def test_what_is_refused(tmp_path):
  corpus = tmp_path / "c.txt"
  corpus.write_text("abcdefghijklmnop\n")
  out = f"--out={tmp_path / 'v.model'}"
  for args, words in (
    ((f"--corpus={tmp_path / 'none'}", out), "--corpus: "),
    (
      (f"--corpus={corpus}", "--out=/nowhere/v"),
      "--out: /nowhere is no folder",
    ),
    ((f"--corpus={corpus}", out, "--workdir=w"), "--workdir: a vocabulary"),
    ((f"--corpus={corpus}", out, "--size=8"), "--size=8: no vocabulary"),
  ):
    programs.assert_refused(programs.run("vocabulary", *args), words)
