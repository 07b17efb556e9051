"""Every example runs as its first lines say, and its search solves more."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs(path):
  pytest.importorskip("equinox")
  result = subprocess.run(
    [sys.executable, str(path)],
    env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert result.returncode == 0, result.stderr[-2000:]
  alone, few, many = (
    int(share) for share in re.findall(r"(\d+)% solved", result.stdout)
  )
  assert alone < few < many


def test_there_is_one_for_each_kind_of_network():
  assert len(EXAMPLES) == 4
