"""Tests of `python -m alphallm.solve`."""

import dataclasses
import json
import subprocess
import sys

import checkpoints
import foreign_tokenizers
import jax
import programs
import pytest
import random_transformer
import tokenizers

from alphallm import asking, models, solve, tokenizer
from alphallm.models import transformer
from alphallm.tokenizer import byte_pairs, folders

FEW = (
  "--num_simulations=4",
  "--num_candidates=2",
  "--step_tokens=4",
  "--max_steps=3",
)
QUESTION = "What is 17 + 25?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A random model in Hugging Face form, that reads 99 tokens."""
  folder = tmp_path_factory.mktemp("models") / "tiny"
  vocabulary = byte_pairs.BytePairs(
    tokenizers.Tokenizer.from_str(foreign_tokenizers.byte_level_json()),
    tokenizer.Marks(
      eos_id=0, bos_id=1, chat_template=foreign_tokenizers.TEMPLATE
    ),
  )
  config = dataclasses.replace(
    checkpoints.CONFIGS["llama"], vocab_size=vocabulary.vocab_size
  )
  _, params = random_transformer.make(config, scale=0.3)
  head = params["params"]["value_head"]
  params["params"]["value_head"] = jax.tree.map(lambda x: 0 * x, head)
  models.save(folder, transformer.PolicyValueTransformer(config), params)
  (folder / "value_head.safetensors").unlink()
  folders.save(vocabulary, folder)
  return folder


def test_help():
  ended = subprocess.run(
    [sys.executable, "-m", "alphallm.solve", "--help"],
    capture_output=True,
    text=True,
    cwd=programs.ROOT,
  )
  assert "python -m alphallm.solve --model" in ended.stdout
  assert "Traceback" not in ended.stderr


def test_a_question_is_answered(folder, tmp_path):
  flags = [f"--model={folder}", f"--workdir={tmp_path}", QUESTION, *FEW]
  ended = programs.run("solve", *flags)
  assert ended.code == 0, ended.err
  assert "valued by the likelihood" in ended.out
  assert f"question: {QUESTION}\nanswer: " in ended.out
  summary = json.loads((tmp_path / "summary.json").read_text())
  (answer,) = summary["answers"]
  assert answer["question"] == QUESTION and answer["right"] is None
  assert 1 <= len(answer["steps"]) <= 3
  for step in answer["steps"]:
    assert 0 < step["value"] < 1 and step["visits"] >= 1
    assert step["seconds"] > 0
  assert answer["text"].startswith(answer["steps"][0]["text"])
  assert summary["nodes"] == answer["cost"]["nodes"] >= 5
  assert summary["seeds"] == [0] and summary["config"]["num_simulations"] == 4
  again = programs.run("solve", *flags)
  lines = [line for line in ended.out.splitlines() if line.startswith("  0.")]
  assert lines and all(line in again.out for line in lines)


def test_files_of_questions(folder, tmp_path):
  texts = tmp_path / "questions.txt"
  texts.write_text("17 + 25?\n\nAnd a fox?\n9 * 9\n")
  ended = programs.run(
    "solve", f"--model={folder}", f"--questions={texts}", "--batch=2", *FEW
  )
  assert ended.code == 0, ended.err
  assert ended.out.count("answer: ") == 3
  assert "[2] " in ended.out

  known = tmp_path / "questions.jsonl"
  known.write_text('{"question": "17 + 25?", "answer": "no number"}\n')
  flags = f"--model={folder}", f"--questions={known}", "--plain"
  ended = programs.run("solve", *flags, "--num_simulations=0", *FEW[1:])
  assert ended.code == 0, ended.err
  assert "right: 0 of 1" in ended.out and "(wrong)" in ended.out


@pytest.mark.parametrize(
  "args, words",
  [
    ([], ['give one "question", or --questions']),
    ([" "], ["the question is empty"]),
    (["a", "b"], ["'b' is no flag"]),
    (["a", "--questions=no.txt"], ["give one"]),
    (["--questions=no.txt"], ["--questions: no.txt", "No such file"]),
    (["a", "--examples=no.jsonl"], ["--examples: no.jsonl"]),
    (["a", "--num_candidates=0"], ["num_candidates=0"]),
    (["a", "--temperature=-1"], ["temperature"]),
    (["a", "--dtype=int4"], ["dtype", "float32"]),
    (["a", "--max_steps=99"], ["do not fit into the 99 tokens"]),
    (["a" * 99], ["do not fit into the 99 tokens"]),
  ],
)
def test_bad_calls_are_refused(folder, args, words):
  ended = programs.run("solve", f"--model={folder}", *FEW, *args)
  programs.assert_refused(ended, *words)


def test_bad_models_are_refused(folder, tmp_path):
  programs.assert_refused(programs.run("solve", "a"), "--model")
  ended = programs.run("solve", "--model=no/model/here", "a")
  programs.assert_refused(ended, "no/model/here")
  damaged = tmp_path / "damaged.gguf"
  damaged.write_bytes(b"GGUF" + b"\xff" * 60)
  ended = programs.run("solve", f"--model={damaged}", "a")
  programs.assert_refused(ended, "damaged.gguf")


def test_flags_in_summaries_are_those_of_the_program():
  assert {flag.name for flag in solve._FLAGS} >= {"model", "seed", "batch"}


def test_what_an_answer_is():
  answer = asking.Answer("?")
  assert answer.answer == ""
  answer.text = "17 + 25\n= 42, in 1998\n"
  assert answer.answer == "= 42, in 1998"
  answer.text += "#### 42\n"
  assert answer.answer == "42"
