"""Compares answers in LaTeX, by math-verify; runs in a child process."""

from typing import Any

import math_verify
from math_verify import parser


def answer(request: dict[str, Any]) -> bool:
  """Return whether `request["answer"]` means the same as `request["gold"]`.

  Both are read as LaTeX alone: math-verify's reader of plain expressions calls
  `sympy.parse_expr`, which evaluates Python.
  """
  gold, found = (
    math_verify.parse(
      f"${request[name]}$",
      extraction_config=[parser.LatexExtractionConfig()],
      fallback_mode="no_extraction",
      # Its own limit works by signals; here the process is ended instead.
      parsing_timeout=None,
    )
    for name in ("gold", "answer")
  )
  return bool(
    gold and found and math_verify.verify(gold, found, timeout_seconds=None)
  )
