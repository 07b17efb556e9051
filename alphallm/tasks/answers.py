"""Answers to questions: found in a text, and compared with the right ones.

Nothing that a text says is ever evaluated: numbers are read by a pattern and
compared as fractions; what is not a number is compared by math-verify, in a
process of its own with a limit of time and memory.
"""

import fractions
import functools
import hashlib
import re
from collections.abc import Sequence

from alphallm.sandbox import workers

MARK = "####"  # GSM8K's, before the final answer
_LONGEST = 200  # characters of an answer that is no number
_SECONDS = 60.0  # for all the answers of a batch

_NUMBER = re.compile(
  r"(?:(?<![\w.)\]}])[-−])?\$?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
  r"(?:/\d+)?"
)
_BRACKET = re.compile(r"\\boxed\s*\{|[{}]")
_FORMULA = re.compile(r"[\w\\{}()\[\]^+\-*/=.,:%$ |<>!]*")


def extract(text: str) -> str | None:
  """Return the answer that a text ends with.

  It is what the last `\\boxed{}` holds; or the number (if there is one) behind
  the last "####"; or the last number of all. `None` if there is none.
  """
  boxed = last_boxed(text)
  if boxed is not None:
    return boxed
  before, mark, after = text.rpartition(MARK)
  if mark:
    line = (after.strip().splitlines() or [""])[0].strip()
    first = _NUMBER.search(line)
    return (first.group() if first else line) or None
  numbers = _NUMBER.findall(text)
  return numbers[-1] if numbers else None


def last_boxed(text: str) -> str | None:
  """Return what stands in the last `\\boxed{}` that is closed, or `None`."""
  opened: list[int | None] = []  # of each bracket, where a box begins
  last = None
  for match in _BRACKET.finditer(text):
    if match.group() != "}":
      opened.append(match.end() if match.group() != "{" else None)
      continue
    start = opened.pop() if opened else None
    if start is not None and (last is None or start > last[0]):
      last = start, match.start()
  return text[slice(*last)].strip() if last else None


def number(text: str) -> fractions.Fraction | None:
  """Read a text that is a number: "-1,234.5", "$3", "3/4", "42."."""
  text = text.strip().rstrip(".")
  if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
    return None
  digits = re.sub(r"[$,]", "", text).replace("−", "-")
  above, _, below = digits.partition("/")
  if below and not int(below):
    return None
  return fractions.Fraction(above) / (int(below) if below else 1)


def hashed(found: str | None) -> int:
  """Return a number of 32 bits that is equal for equal answers; 0 for none.

  Numbers are equal however they are written; other answers if they are the
  same text.
  """
  if found is None:
    return 0
  value = number(found)
  text = found.strip() if value is None else str(value)
  digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
  return max(1, int.from_bytes(digest, "little"))


def equal(golds: Sequence[str], found: Sequence[str | None]) -> list[bool]:
  """Return which of the answers found are right.

  Args:
    golds: the right answers.
    found: the answers of as many texts, by `extract`.
  """
  results, open_ = [False] * len(golds), {}
  for i, (gold, answer) in enumerate(zip(golds, found, strict=True)):
    if answer is None:
      continue
    right, value = number(gold), number(answer)
    if right is not None and value is not None:
      results[i] = right == value
    elif gold.strip() == answer.strip():
      results[i] = True
    elif _is_formula(answer):
      open_.setdefault((gold, answer), []).append(i)
  if open_:
    requests = [{"gold": gold, "answer": answer} for gold, answer in open_]
    verdicts = _workers().ask_all(requests, False, _SECONDS)
    for places, verdict in zip(open_.values(), verdicts, strict=True):
      for i in places:
        results[i] = verdict
  return results


def _is_formula(text: str) -> bool:
  """Return whether a text is short and without strange signs."""
  short = 0 < len(text) <= _LONGEST
  return short and "__" not in text and bool(_FORMULA.fullmatch(text))


@functools.cache
def _workers() -> workers.Workers:
  return workers.Workers("alphallm.sandbox.maths", num_workers=2, seconds=3.0)
