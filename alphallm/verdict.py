"""Methods, measured, judged in words: where search helps, where it hurts, why.

Every "more" and "fewer" is that of McNemar's exact test on the same problems,
corrected for the number of comparisons of its kind (Holm), at 5%.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from alphallm import measure, tables

# What compares whole samples, or nothing; all else searches over steps.
_SAMPLERS = "greedy", "sampled", "vote", "best_of_n", "rejection"
# What is not guided by the value head unless it is told to be.
_UNVALUED = "greedy", "sampled", "vote", "beam"
_SURE = 0.05
_SAME = 1.1  # as often the tokens, or less, is no more


def of(rows: Sequence[tables.Row]) -> list[str]:
  """Return the verdict on methods that solved the same problems, in lines.

  Of `sampling` nothing is said: its many paths are for coverage, and its answer
  is that of the first.
  """
  rows = [row for row in rows if row.method != "sampling"]
  return [*_against_policy(rows), *_at_equal_cost(rows), *_with_budget(rows)]


def _against_policy(rows) -> list[str]:
  """Compare every method with the policy alone."""
  policy = next((r for r in rows if r.method in ("greedy", "sampled")), None)
  others = [r for r in rows if r.method not in ("greedy", "sampled")]
  if policy is None or not others:
    return []
  lines = []
  sure = _compare([(row, policy) for row in others])
  for asks in dict.fromkeys(row.asks for row in others):
    better, worse, unsure = (
      [row for row, _, sign in sure if row.asks == asks and sign == wanted]
      for wanted in (1, -1, 0)
    )
    told = f"against {policy.name} ({policy.share:.1%}), what may ask {asks}"
    if better:
      best = max(better, key=lambda row: row.share)
      lines.append(
        f"{told} helps with {_names(better)}: most with {best.name}, "
        f"{best.share:.1%}"
      )
    if worse:
      lines.append(f"{told} hurts with {_names(worse)}")
      lines += [f"  {row.name}: {why(row, policy)}" for row in worse]
    if unsure:
      lines.append(f"{told} makes no sure difference with {_names(unsure)}")
  return lines


def _at_equal_cost(rows) -> list[str]:
  """Compare search over steps with samples, at equal tokens and permission."""
  pairs = []
  for row, other in tables.pairs(list(rows)):
    is_sampler = row.method in _SAMPLERS, other.method in _SAMPLERS
    if sum(is_sampler) == 1:
      pairs.append((other, row) if is_sampler[0] else (row, other))
  lines = []
  sure = _compare(pairs)
  for method in dict.fromkeys(row.method for row, _ in pairs):
    mine = [(r, o, sign) for r, o, sign in sure if r.method == method]
    for wanted, word in (1, "more"), (-1, "fewer"):
      found = [(row, other) for row, other, sign in mine if sign == wanted]
      if found:
        against: dict[str, list[tables.Row]] = {}
        for row, other in found:
          against.setdefault(row.name, []).append(other)
        named = [f"{name} than {_names(x)}" for name, x in against.items()]
        lines.append(
          f"at about equal tokens {method} solves {word}: {'; '.join(named)}"
        )
      if wanted < 0:
        reasons = [f"  {row.name}: {why(row, other)}" for row, other in found]
        lines += dict.fromkeys(reasons)  # one may hold against several
    unsure = sum(sign == 0 for *_, sign in mine)
    if unsure:
      lines.append(
        f"at about equal tokens {method} differs from samples by nothing sure "
        f"in {unsure} of {len(mine)} pairs"
      )
  return lines


def _with_budget(rows) -> list[str]:
  """Compare the largest budget of each method with its smallest."""
  pairs = []
  for method in dict.fromkeys(row.method for row in rows):
    mine = [row for row in rows if row.method == method]
    mine.sort(key=lambda row: row.budget)
    if mine[0].budget < mine[-1].budget:
      pairs.append((mine[-1], mine[0]))
  sure = _compare(pairs)
  lines = []
  for wanted, word in (1, "more"), (0, "nothing sure"), (-1, "fewer"):
    found = [(most, least) for most, least, sign in sure if sign == wanted]
    if found:
      named = [
        f"{most.method} ({least.share:.1%} to {most.share:.1%})"
        for most, least in found
      ]
      lines.append(f"more budget brings {word}: {', '.join(named)}")
    if wanted < 0:
      lines += [f"  {most.name}: {why(most, least)}" for most, least in found]
    if wanted == 0:
      lines += [
        f"  {most.name} spent no more tokens than {least.name}: all that their "
        "candidates lead to was seen (config.search.num_candidates is how many)"
        for most, least in found
        if most.tokens.mean() < _SAME * least.tokens.mean()
      ]
  return lines


def why(row: tables.Row, better: tables.Row) -> str:
  """Return why a method falls behind a better one, as far as it is measured.

  Where a solution stood among its paths, the choice was wrong; else none was
  found. The value is to blame if the method is guided by it, and it is too
  sure: what it told lies above the share solved by more than 1.96 standard
  errors.
  """
  lost = better.solved & ~row.solved
  parts = []
  chose = None
  if row.right is not None:
    had = int((row.right[lost] > 0).sum())
    chose = 2 * had > lost.sum()
    parts.append(
      f"of the {lost.sum()} problems that {better.name} alone solves, {had} "
      "had a solution among its paths"
    )
  by_value = (
    "value" in row.guidance if row.guidance else row.method not in _UNVALUED
  )
  if not by_value:
    parts.append("it is not guided by the value, which is not to blame")
  elif row.value is not None:
    gap, sure = overconfidence(row)
    told = f"the value told {row.value.mean():.0%} of {row.share:.0%} solved"
    where = {None: "", True: " in its choice", False: " on its way"}[chose]
    parts.append(
      f"{told}: it is too sure, and misled it{where}"
      if sure and gap > 0
      else f"{told}: it is not too sure, so calibration is not the cause"
    )
  return "; ".join(parts)


def overconfidence(row: tables.Row) -> tuple[float, bool]:
  """Return the mean value less the share solved, and if that is sure (95%)."""
  gaps = row.value - row.solved
  error = gaps.std() / np.sqrt(len(gaps))
  return float(gaps.mean()), bool(abs(gaps.mean()) > 1.96 * error)


def _compare(
  pairs: Iterable[tuple[tables.Row, tables.Row]],
) -> list[tuple[tables.Row, tables.Row, int]]:
  """Return pairs with whether the first surely solves more, 1, or fewer, −1."""
  pairs = list(pairs)
  p = measure.holm([measure.mcnemar(a.solved, b.solved) for a, b in pairs])
  return [
    (a, b, int(np.sign(a.share - b.share)) * bool(sure))
    for (a, b), sure in zip(pairs, p < _SURE, strict=True)
  ]


def _names(rows) -> str:
  """Return the names of rows, the budgets of a method together."""
  by_method: dict[str, list[tables.Row]] = {}
  for row in rows:
    by_method.setdefault(row.method, []).append(row)
  return ", ".join(
    f"{method} ({', '.join(str(row.budget) for row in mine)})"
    if mine[1:]
    else mine[0].name
    for method, mine in by_method.items()
  )
