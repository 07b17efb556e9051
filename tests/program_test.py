"""Tests of what the programs share: each bad call ends in one line."""

import os
import signal
import subprocess
import sys

import programs
import pytest

ANYWHERE = "--workdir=/nowhere/at/all"


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_help(program):
  ended = subprocess.run(
    [sys.executable, "-m", f"alphallm.{program}", "--help"],
    capture_output=True,
    text=True,
    cwd=programs.ROOT,
    env=os.environ,
  )
  assert f"python -m alphallm.{program} --config" in ended.stdout
  assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
  "args, words",
  [
    (
      ["--config.search.foo=1"],
      ["--config.search.foo: the config has no such"],
    ),
    (["--config.foo.bar=1"], ["--config.foo.bar: the config has no such"]),
    (["--config.selfplay.num_slots=x"], ["num_slots=x", "int"]),
    (["--config.selfplay.num_slots=0"], ["num_slots=0 must be at least 1"]),
    (["--nosuch=1"], ["nosuch"]),
    (["word"], ["'word' is no flag"]),
  ],
)
@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_bad_flags_are_refused(program, args, words):
  config = f"--config={programs.CONFIG}"
  ended = programs.run(program, config, ANYWHERE, *args)
  programs.assert_refused(ended, *words)


def test_flags_that_are_missing_are_named():
  programs.assert_refused(programs.run("train"), "--config", "--workdir")
  programs.assert_refused(programs.run("train", ANYWHERE), "--config")


@pytest.mark.parametrize(
  "source, word",
  [
    ("def get_config(:", "SyntaxError"),
    ("x = 1", "get_config"),
    ("import nothing_of_this_name", "nothing_of_this_name"),
    ("def get_config():\n  return 1 / 0", "ZeroDivisionError"),
    ("def get_config():\n  return {}", "ConfigDict"),
    ("def get_config():\n  raise ValueError('too small')", "too small"),
    (
      "from configs import quickstart\n"
      "def get_config():\n"
      "  config = quickstart.get_config()\n"
      "  config.learner.no_such_rate = 1.0\n"
      "  return config",
      "config.learner.no_such_rate is unknown",
    ),
  ],
)
def test_bad_config_files_are_refused(tmp_path, source, word):
  path = tmp_path / "bad.py"
  path.write_text(source)
  ended = programs.run("train", f"--config={path}", f"--workdir={tmp_path}/w")
  programs.assert_refused(ended, word)
  if "unknown" not in word:
    programs.assert_refused(ended, f"--config={path}")
  assert not (tmp_path / "w").exists()


def test_a_missing_config_file_is_named(tmp_path):
  for args in (["--config", "no.py"], ["--config=no.py", "--config.seed=1"]):
    ended = programs.run("train", *args, ANYWHERE)
    programs.assert_refused(ended, "--config=no.py", "No such file")


def raise_os_error(module):
  def main(argv):
    open("/nowhere/file", "w")

  module.main = main


def raise_interrupt(module):
  def main(argv):
    raise KeyboardInterrupt

  module.main = main


def raise_a_bug(module):
  def main(argv):
    raise AssertionError("a bug")

  module.main = main


def test_how_other_ends_look():
  args = "train", f"--config={programs.CONFIG}", ANYWHERE
  ended = programs.run(*args, before=raise_os_error)
  programs.assert_refused(ended, "/nowhere/file: No such file")
  ended = programs.run(*args, before=raise_interrupt)
  assert ended.code == 128 + signal.SIGINT
  assert ended.err == "alphallm: interrupted\n"
  ended = programs.run(*args, before=raise_a_bug)
  assert ended.code == 1 and "Traceback" in ended.err  # not the user's to mend
