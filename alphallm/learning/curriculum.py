"""A curriculum: larger problems once those of the present size are solved."""

import dataclasses


@dataclasses.dataclass
class Curriculum:
  """The largest level of the problems drawn, by iteration.

  A level rises when the share of episodes solved in an iteration reaches a
  threshold. What an iteration brought is known one iteration late, so the rise
  takes effect two iterations later, whether or not anything was waited for: a
  resumed run draws the same problems.

  Attributes:
    last: the highest level.
    threshold: share of episodes solved at which the level rises.
    schedule: `[iteration, level]`, from which iteration on which level holds.
  """

  last: int
  threshold: float
  schedule: list[list[int]]

  def level(self, iteration: int) -> int:
    """Return the largest level of the problems drawn for an iteration."""
    return [level for first, level in self.schedule if first <= iteration][-1]

  def record(self, iteration: int, solved: float) -> None:
    """Take note of an iteration; call it once for each, in order.

    Args:
      iteration: counted from 0.
      solved: share of its episodes that were solved.
    """
    first, level = self.schedule[-1]
    if iteration >= first and solved >= self.threshold and level < self.last:
      self.schedule.append([iteration + 2, level + 1])
