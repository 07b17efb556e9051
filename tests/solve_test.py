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
import tiny_config
import tokenizers

from alphallm import (
  asking,
  checkpoint,
  config,
  measure,
  models,
  runs,
  solve,
  tokenizer,
)
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
  shape = dataclasses.replace(
    checkpoints.CONFIGS["llama"], vocab_size=vocabulary.vocab_size
  )
  _, params = random_transformer.make(shape, scale=0.3)
  head = params["params"]["value_head"]
  params["params"]["value_head"] = jax.tree.map(lambda x: 0 * x, head)
  models.save(folder, transformer.PolicyValueTransformer(shape), params)
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
  flags.append(f"--tree={tmp_path / 'tree.html'}")
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
  (problem,) = programs.viewed(tmp_path / "tree.html")["problems"]
  assert problem["name"] == QUESTION
  (side,) = problem["sides"]
  assert len(side["moves"]) == len(answer["steps"])
  for tree, step in zip(side["moves"], answer["steps"], strict=True):
    node, k = tree["line"][0]
    child = list(zip(tree["parent"], tree["action"], strict=True)).index((0, k))
    assert node == 0 and tree["visits"][child] == step["visits"]
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
  tree = tmp_path / "tree.html"
  flags = f"--model={folder}", f"--questions={known}", "--plain"
  flags += (f"--tree={tree}",)
  ended = programs.run("solve", *flags, "--num_simulations=0", *FEW[1:])
  assert ended.code == 0, ended.err
  assert "right: 0 of 1" in ended.out and "(wrong)" in ended.out
  assert programs.viewed(tree)["problems"][0]["sides"][0]["outcome"] == "wrong"


@pytest.mark.parametrize(
  "args, words",
  [
    ([], ['give one "question", or --questions']),
    ([" "], ["the question is empty"]),
    (["a", "--tree=/nowhere/tree.html"], ["--tree", "/nowhere is no folder"]),
    (["a", f"--config={programs.CONFIG}"], ["--model", "or --config"]),
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


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A run with one checkpoint of random weights."""
  run = config.make_run(tiny_config.get_config())
  folder = tmp_path_factory.mktemp("runs") / "run"
  params = transformer.init_params(run.model.config, jax.random.key(1))
  with checkpoint.Checkpointer(folder / "checkpoints") as checkpointer:
    checkpointer.save(1, {"learner": {"average": params}})
  return folder


PLAN = """(define (problem p) (:domain blocksworld-4ops) (:objects a b)
  (:init (handempty) (ontable a) (clear a) (ontable b) (clear b))
  (:goal (and (on a b))))"""


def test_a_run_solves_problems(workdir, tmp_path):
  flags = f"--config={programs.CONFIG}", f"--workdir={workdir}"
  tree = tmp_path / "tree.html"
  drawn = programs.run("solve", *flags, "--seed=2", f"--tree={tree}")
  assert drawn.code == 0, drawn.err
  assert "[2] 3 blocks: " in drawn.out and "solved: " in drawn.out
  summary = json.loads((workdir / "summary.json").read_text())
  (told,) = summary["solutions"]
  run = config.make_run(tiny_config.get_config())
  problems = measure.held_out(run.task, 16)
  third = jax.tree.map(lambda x: x[2], problems)
  assert told["problem"] == run.task.describe(third)
  params, _ = runs.load(run, workdir)
  # It is what an evaluation would do with the third of its problems.
  result = measure.run(
    measure.solver(run.model.apply, run.task, config.for_evaluation(run, 3)),
    params,
    jax.random.key(run.seed),
    problems,
  )
  assert told["solved"] == result.solved[2]
  assert told["cost"]["nodes"] == result.cost.nodes[2]
  assert told["values"][0] == pytest.approx(result.value[2])
  played = run.task.tokenizer.decode(result.solution(2))
  assert told["steps"] == played.split()
  (problem,) = programs.viewed(tree)["problems"]
  assert problem["name"] == told["problem"]
  assert len(problem["sides"][0]["moves"]) == len(told["values"])

  for name in ("one", "two", "three"):
    (tmp_path / f"{name}.pddl").write_text(PLAN)
  tree.unlink()
  flags += (str(tmp_path), "--batch=2", "--num_simulations=2")
  read = programs.run("solve", *flags, f"--tree={tree}")
  assert read.code == 0, read.err
  assert all(f"[{i}] 2 blocks: " in read.out for i in range(3))
  assert len(programs.viewed(tree)["problems"]) == 3


@pytest.mark.parametrize(
  "args, words",
  [
    (["--step_tokens=4"], ["--step_tokens goes with --model"]),
    (["/nowhere"], ["/nowhere: no such file"]),
    (["/nowhere", "a"], ["'a' is no flag"]),
    (["/nowhere", "--seed=1"], ["--seed", "no file is given"]),
    (["--workdir="], ["--config needs --workdir"]),
    (["--num_simulations=-1"], ["num_simulations"]),
  ],
)
def test_bad_calls_of_a_run_are_refused(workdir, args, words):
  flags = f"--config={programs.CONFIG}", f"--workdir={workdir}"
  programs.assert_refused(programs.run("solve", *flags, *args), *words)


def test_puct_needs_a_simulation(workdir, tmp_path):
  path = tmp_path / "puct.py"
  path.write_text(
    "from tests import tiny_config\n"
    "def get_config():\n"
    "  config = tiny_config.get_config()\n"
    "  config.search.policy = dict(kind='puct')\n"
    "  return config\n"
  )
  flags = f"--config={path}", f"--workdir={workdir}", "--num_simulations=0"
  ended = programs.run("solve", *flags)
  programs.assert_refused(ended, "--num_simulations=0", "at least 1")
