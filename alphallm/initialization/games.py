"""Tasks as plain Python, one state at a time: what searchers walk through.

The texts of states and steps are those of the tasks, without their newlines.
"""

import abc
import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from alphallm.tasks import arithmetic, base, blocks_world, hashing, stacks
from alphallm.tasks.stacks import ABSENT, ANY, TABLE

# What a state still costs, as it seems.
Heuristic = Callable[[Any], float]


class Game(abc.ABC):
  """One problem of a task.

  Attributes:
    start: the first state, hashable like all of them.
    heuristics: by name, which searchers may go by.
    noise: added to a heuristic's cost, standard deviation; where heuristics
      are so good that no turn would be wrong.
    max_depth: steps of a solution, at most.
  """

  start: Hashable
  heuristics: dict[str, Heuristic]
  noise: float
  max_depth: int

  @abc.abstractmethod
  def moves(self, state: Any) -> list[tuple[str, Any]]:
    """Return the steps that go on from a state, and where each leads.

    Not to a state that is, up to symmetry, a held-out problem of the task, and
    by one of several steps only, if they lead to the same state.
    """

  @abc.abstractmethod
  def is_solved(self, state: Any) -> bool:
    """Return whether a state is a solution."""

  @abc.abstractmethod
  def text(self, state: Any) -> str:
    """Return a state as the task writes it."""

  @abc.abstractmethod
  def value(self, state: Any) -> float | None:
    """Return what is told of a state at a glance, in [0, 1], if anything."""

  @abc.abstractmethod
  def analysis(self, state: Any) -> str:
    """Return what is seen of a problem before any step."""

  @abc.abstractmethod
  def goal(self, state: Any, heuristic: str) -> str | None:
    """Return what who goes by a heuristic aims at in a state, if it is said."""


def of(task: base.Task, problems: Any) -> list[Game]:
  """Return problems `[n, ...]` of a task as games.

  Raises:
    ValueError: for a task that has none here.
  """
  if isinstance(task, arithmetic.Arithmetic) and not task.fractional:
    return [
      Countdown(tuple(map(int, numbers)), int(target), task.max_value)
      for numbers, target in zip(problems.numbers, problems.target, strict=True)
    ]
  if isinstance(task, blocks_world.BlocksWorld):
    rows = zip(problems.on, problems.goal, strict=True)
    return [
      Blocks(tuple(map(int, on)), tuple(map(int, goal)), task.max_steps)
      for on, goal in rows
    ]
  raise ValueError(f"there are no traces of {task.name}")


@dataclasses.dataclass(frozen=True)
class Countdown(Game):
  """Whole numbers to be combined; a state is the numbers that are left.

  The heuristics are those of Stream of Search (Gandhi et al., 2024, section 3):
  how far the sum of the numbers is from the target, and how far the numbers are
  from its factors.
  """

  start: tuple[int, ...]
  target: int
  max_value: int
  noise = 0.0

  @property
  def max_depth(self) -> int:
    return len(self.start) - 1

  @property
  def heuristics(self) -> dict[str, Heuristic]:
    return {"sum": self._from_sum, "factors": self._from_factors}

  def moves(self, state):
    found, known = [], set()
    for i, a in enumerate(state):
      for j, b in enumerate(state):
        if i == j:
          continue
        for sign, result in self._results(a, b):
          rest = [
            result if k == i else x for k, x in enumerate(state) if k != j
          ]
          if tuple(sorted(rest)) not in known:
            known.add(tuple(sorted(rest)))
            found.append((f"{a}{sign}{b}={result}", tuple(rest)))
    return found

  def is_solved(self, state):
    return state == (self.target,)

  def text(self, state):
    return f"{' '.join(map(str, state))}:{self.target}"

  def value(self, state):
    return float(self.is_solved(state)) if len(state) == 1 else None

  def analysis(self, state):
    return f"{'+'.join(map(str, state))}={sum(state)}"

  def goal(self, state, heuristic):
    if len(state) < len(self.start):
      return None
    if heuristic == "sum":
      more = self.target - sum(state)
      return f"{sum(state)}{'+' if more >= 0 else '-'}{abs(more)}"
    near = min(
      self._factors, key=lambda f: min(abs(f - number) for number in state)
    )
    return f"{near}*{self.target // near}"

  def _results(self, a: int, b: int) -> list[tuple[str, int]]:
    results = [("+", a + b), ("*", a * b)]
    results += [("-", a - b)] if a >= b else []
    results += [("/", a // b)] if b and a % b == 0 else []
    return [(sign, x) for sign, x in results if x <= self.max_value]

  @property
  def _factors(self) -> list[int]:
    return [f for f in range(2, self.target + 1) if self.target % f == 0] or [1]

  def _from_sum(self, state):
    return abs(sum(state) - self.target)

  def _from_factors(self, state):
    return sum(min(abs(f - number) for f in self._factors) for number in state)


@dataclasses.dataclass(frozen=True)
class Blocks(Game):
  """Blocks to be stacked; a state is what each block stands on."""

  start: tuple[int, ...]
  wanted: tuple[int, ...]
  most_steps: int
  noise = 1.0

  @property
  def max_depth(self) -> int:
    present = sum(at != ABSENT for at in self.start)
    return min(2 * present, self.most_steps)

  @property
  def heuristics(self) -> dict[str, Heuristic]:
    return {"misplaced": self._misplaced, "unsettled": self._unsettled}

  def moves(self, state):
    clear = [i for i, at in enumerate(state) if at != ABSENT and i not in state]
    names = blocks_world.LETTERS
    found = []
    for i in clear:
      for to in (*clear, TABLE):
        if to not in (i, state[i]):
          name = "-" if to == TABLE else names[to]
          found.append((names[i] + name, (*state[:i], to, *state[i + 1 :])))
    if not found:
      return []
    on = np.array([after for _, after in found])
    hashed = stacks.class_hash(on, np.broadcast_to(self.wanted, on.shape))
    held_out = hashing.in_test_split(hashed) | stacks.in_planbench(hashed)
    return [
      move
      for move, out in zip(found, held_out, strict=True)
      if not out or self.is_solved(move[1])
    ]

  def is_solved(self, state):
    return self._misplaced(state) == 0

  def text(self, state):
    sign = lambda to: {TABLE: "-", ANY: "?"}.get(to) or blocks_world.LETTERS[to]
    return "".join(
      blocks_world.LETTERS[i] + sign(at) + sign(self.wanted[i])
      for i, at in enumerate(state)
      if at != ABSENT
    )

  def value(self, state):
    present = sum(at != ABSENT for at in state)
    return 1 - self._unsettled(state) / present

  def analysis(self, state):
    """Return the blocks that must move: those not where they stay."""
    return "".join(self._loose(state)) or "-"

  def goal(self, state, heuristic):
    """Return the demand to be met next, the lowest that is not."""
    del heuristic
    loose = self._loose(state)
    for i, to in enumerate(self.wanted):
      if to in (ANY, ABSENT, state[i]):
        continue
      if to == TABLE or blocks_world.LETTERS[to] not in loose:
        place = "-" if to == TABLE else blocks_world.LETTERS[to]
        return blocks_world.LETTERS[i] + place
    return None

  def _misplaced(self, state):
    return sum(
      to not in (ANY, at) for at, to in zip(state, self.wanted, strict=True)
    )

  def _loose(self, state) -> Sequence[str]:
    """Return the blocks that stand wrong, or above one that does."""

    def is_loose(i):
      while i != TABLE:
        if self.wanted[i] not in (ANY, state[i]):
          return True
        i = state[i]
      return False

    return [
      blocks_world.LETTERS[i]
      for i, at in enumerate(state)
      if at != ABSENT and is_loose(i)
    ]

  def _unsettled(self, state):
    return len(self._loose(state))
