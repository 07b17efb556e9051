"""Rewards of programs: unit tests, run apart from the machine."""

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alphallm import tasks
from alphallm.sandbox import isolation

_LIMITS = isolation.Limits()


def passed(
  programs: Sequence[str],
  limits: isolation.Limits = _LIMITS,
  *,
  num_workers: int = 1,
) -> np.ndarray:
  """Return which programs come to their end, and raise nothing, `[n]` bool.

  Args:
    programs: each a solution and, behind it, its unit tests.
    limits: what each may use.
    num_workers: how many run side by side.

  Raises:
    isolation.CannotIsolate: if this machine cannot run them apart from itself.
  """
  with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
    results = pool.map(lambda program: isolation.run(program, limits), programs)
    return np.array([result.passed for result in results], bool)


def unit_tests(
  program: Callable[[Any, str], str],
  decode: Callable[[Sequence[int]], str],
  limits: isolation.Limits = _LIMITS,
  *,
  num_workers: int = 1,
) -> Callable[..., Any]:
  """Return the `reward` of `tasks.Text` that pays 1 for a program that passes.

  Args:
    program: `(problem, response) -> text`, which puts the tests of a problem
      behind what was answered.
    decode: ids to text.
    limits: what each program may use.
    num_workers: how many run side by side.
  """

  def score(problems, responses):
    texts = [
      program(problem, decode([int(i) for i in response]))
      for problem, response in zip(problems, responses, strict=True)
    ]
    return passed(texts, limits, num_workers=num_workers)

  return tasks.on_host(score)
