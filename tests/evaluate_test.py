"""Tests of the evaluation program."""

import json

import jax
import numpy as np
import programs
import pytest
import tiny_config

from alphallm import checkpoint, config, runs
from alphallm.models import transformer

CONFIG = f"--config={programs.CONFIG}"

PROBLEM = """(define (problem p) (:domain blocksworld-4ops)
  (:objects {names})
  (:init (handempty) {init})
  (:goal (and (on {goal}))))"""


def pddl(names):
  init = " ".join(f"(ontable {name}) (clear {name})" for name in names)
  return PROBLEM.format(
    names=" ".join(names), init=init, goal=" ".join(names[:2])
  )


@pytest.fixture(scope="module")
def run():
  return config.make_run(tiny_config.get_config())


@pytest.fixture
def workdir(run, tmp_path):
  """A workdir with checkpoints 1 to 3 of random weights; 2 is the best."""
  folder = tmp_path / "run"
  with checkpoint.Checkpointer(
    folder / "checkpoints", keep=3, best="greedy"
  ) as checkpointer:
    for step, greedy in ((1, 0.1), (2, 0.3), (3, 0.2)):
      params = transformer.init_params(run.model.config, jax.random.key(step))
      state = {"learner": {"average": params, "step": np.int32(step)}}
      checkpointer.save(step, state, metrics={"greedy": greedy})
  return folder


def contents(folder):
  return {
    path: path.read_bytes()
    for path in (folder / "checkpoints").rglob("*")
    if path.is_file()
  }


def test_measures_and_changes_no_checkpoint(workdir):
  before = contents(workdir)
  args = CONFIG, f"--workdir={workdir}", "--num_problems=16"
  plans = workdir / "plans"
  ended = programs.run(
    "evaluate",
    *args,
    "--methods=greedy,mcts",
    "--simulations=3",
    f"--plans={plans}",
    f"--tree={workdir / 'tree.html'}",
  )
  assert ended.code == 0, ended.err
  page = programs.viewed(workdir / "tree.html")
  assert len(page["problems"]) == 4
  for problem in page["problems"]:
    assert problem["name"].startswith("3 blocks: ")
    sides = problem["sides"]
    assert [side["name"] for side in sides] == ["random weights", "trained"]
    assert all(len(side["moves"][0]["order"]) <= 3 for side in sides)
  assert contents(workdir) == before
  summary = json.loads((workdir / "summary.json").read_text())
  assert summary["num_problems"] == 16
  for name in ("greedy", "mcts_3"):
    low, high = summary[f"{name}_interval"]
    assert 0 <= low <= summary[name] <= high <= 1
    assert summary[f"{name}_tokens"] > 0
    assert f"{name}_random_weights" in summary
  assert summary["greedy_permission"] == "nothing"
  assert summary["mcts_3_permission"] == "checker"
  assert len(list(plans.iterdir())) == round(16 * summary["mcts_3"])
  rows = [line for line in ended.out.splitlines() if line.startswith("|")]
  assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
  assert "One problem: 3 blocks" in ended.out and "Move 1:" in ended.out


def test_the_same_checkpoint_gives_the_same_figures(workdir):
  figures = []
  for which in ("latest", "3"):
    ended = programs.run(
      "evaluate",
      CONFIG,
      f"--workdir={workdir}",
      f"--checkpoint={which}",
      "--num_problems=16",
      "--methods=greedy,sampled",
    )
    assert ended.code == 0 and "iteration 3" in ended.out, ended.err
    summary = json.loads((workdir / "summary.json").read_text())
    figures.append(summary["programs"]["evaluate"]["figures"])
  assert figures[0] == figures[1]


def test_strategies_are_compared(workdir):
  ended = programs.run(
    "evaluate",
    CONFIG,
    f"--workdir={workdir}",
    "--num_problems=16",
    "--methods=vote,best_of_n",
    "--budgets=2",
    "--guidance=value",
    "--permission=rules",
    "--before=false",
  )
  assert ended.code == 0, ended.err
  assert "| budget | tokens |" in ended.out
  table = json.loads((workdir / "compute_optimal.json").read_text())
  assert table["asks"] == "rules" and sum(table["problems"]) == 16
  assert table["guidance"] == "value" and table["num_samples"] == 2
  summary = json.loads((workdir / "summary.json").read_text())
  for name in "vote_2", "best_of_n_2":
    assert summary[f"{name}_permission"] == "rules"
    assert summary[f"{name}_tokens"] > 0
  assert "verdict:" in ended.out and isinstance(summary["verdict"], list)
  assert len(list((workdir / "evaluation" / "after").glob("*.npz"))) == 2
  assert 0 <= summary["vote_2_calibration_error"] <= 1
  assert summary["vote_2_any_path"] >= summary["vote_2"]
  lines = (workdir / "evaluation.csv").read_text().splitlines()
  assert [line.split(",")[0] for line in lines] == [
    "method",
    "vote_2",
    "best_of_n_2",
  ]


@pytest.mark.slow
def test_auto_follows_its_table(workdir):
  table = {
    "asks": "rules",
    "guidance": "value",
    "source": "drawn from the test split",
    "num_samples": 2,
    "edges": [0.5],
    "levels": {"2": {"methods": ["vote_2", "greedy"]}},
  }
  (workdir / "compute_optimal.json").write_text(json.dumps(table))
  args = CONFIG, f"--workdir={workdir}", "--num_problems=8", "--before=false"
  ended = programs.run("evaluate", *args, "--methods=auto", "--budgets=2")
  assert ended.code == 0, ended.err
  assert "its table is of the same problems" in ended.out
  summary = json.loads((workdir / "summary.json").read_text())
  assert summary["auto_2_permission"] == "rules"


def test_which_checkpoint_is_loaded(run, workdir):
  for which, step in (("latest", 3), ("best", 2), ("1", 1)):
    params, loaded = runs.load(run, workdir, which)
    assert loaded == step
    jax.tree.map(
      np.testing.assert_array_equal,
      params,
      transformer.init_params(run.model.config, jax.random.key(step)),
    )


def test_problems_are_read_or_drawn(run, tmp_path):
  few = runs.read_problems(run, None, 5)
  many = runs.read_problems(run, None, 50)
  np.testing.assert_array_equal(few.on, many.on[:5])
  (tmp_path / "p.pddl").write_text(pddl("xyz"))
  problems = runs.read_problems(run, str(tmp_path), 5)
  np.testing.assert_array_equal(problems.on, [[-1, -1, -1]])
  np.testing.assert_array_equal(problems.goal, [[1, -2, -2]])


@pytest.mark.parametrize(
  "flag, words",
  [
    ("--methods=greedy,bream", ["--methods", "bream", "best_of_n"]),
    ("--simulations=4,0", ["--simulations", "positive"]),
    ("--simulations=x", ["--simulations", "positive"]),
    ("--budgets=0", ["--budgets", "positive"]),
    ("--guidance=worth", ["--guidance", "worth", "log_prob"]),
    ("--guidance=value", ["--guidance", "none of the methods"]),
    ("--methods=auto", ["auto needs", "compute_optimal.json"]),
    ("--methods=embedded", ["--world=''", "searches in it"]),
    ("--world=world", ["--world='world'", "nothing else does"]),
    ("--num_problems=0", ["num_problems"]),
    ("--tree=/nowhere/tree.html", ["--tree", "/nowhere is no folder"]),
    ("--checkpoint=worst", ["--checkpoint=worst", "latest, best"]),
    ("--checkpoint=9", ["no checkpoint of step 9", "1, 2, 3"]),
    ("--problems=/nowhere", ["--problems", "/nowhere: no such file"]),
    ("--workdir=/nowhere", ["/nowhere/checkpoints does not exist"]),
    ("--config.model.embed_dim=24", ["made by another config"]),
  ],
)
def test_bad_flags_are_refused(workdir, flag, words):
  args = ["evaluate", CONFIG, f"--workdir={workdir}", flag]
  programs.assert_refused(programs.run(*args), *words)


def test_plans_are_of_the_blocks_world(workdir):
  args = f"--config={programs.ROOT / 'configs' / 'game24.py'}", "--plans=x"
  ended = programs.run("evaluate", f"--workdir={workdir}", *args)
  programs.assert_refused(ended, "--plans: game24 has no plans")


def test_trees_are_those_of_the_search(workdir):
  args = f"--workdir={workdir}", "--tree=tree.html", "--methods=greedy"
  ended = programs.run("evaluate", CONFIG, *args)
  programs.assert_refused(ended, "--tree: only mcts has one")
  args = *args[:2], "--methods=mcts", "--config.mesh.gather=layer"
  ended = programs.run("evaluate", f"--config={programs.CONFIG}", *args)
  programs.assert_refused(ended, "--tree: it is drawn on one device")


def test_bad_problem_files_are_refused(run, tmp_path):
  bad = tmp_path / "bad.pddl"
  cases = [
    ("(define", "unbalanced"),
    ("\0\xff", ""),
    (pddl("wxyz"), "4 blocks"),
  ]
  for text, word in cases:
    bad.write_text(text, encoding="latin-1")
    with pytest.raises(
      config.UserError, match=f"--problems: .*{word}"
    ) as error:
      runs.read_problems(run, str(bad), 5)
    assert str(bad) in str(error.value) and "\n" not in str(error.value)
  (tmp_path / "empty").mkdir()
  with pytest.raises(config.UserError, match=r"no \*.pddl file"):
    runs.read_problems(run, str(tmp_path / "empty"), 5)


def test_a_damaged_checkpoint_is_told_of_and_left(workdir):
  for step, last in ((3, "no such file"), (2, "no such file"), (1, "damaged")):
    folder = workdir / "checkpoints" / str(step)
    file = max(folder.rglob("d/*"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-9])
    before = contents(workdir)
    args = CONFIG, f"--workdir={workdir}", "--problems=/nowhere"
    ended = programs.run("evaluate", *args)
    lines = ended.err.strip().splitlines()
    assert f"the checkpoint of step {step} is damaged" in ended.err
    assert lines[-1].startswith("alphallm: ") and last in lines[-1]
    assert ended.code == 1 and "Traceback" not in ended.err
    assert contents(workdir) == before
