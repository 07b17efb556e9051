"""Learners in a row: cloning until it stops improving, then another."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StageConfig:
  """When a stage is over."""

  num_iterations: int = 20  # at most
  patience: int = 0  # measurements without a better one; 0: all iterations


@dataclasses.dataclass
class Stages:
  """Which stage of a run is under way.

  Attributes:
    configs: of all stages but the last, which ends with the run.
    present: the stage under way, from 0.
    begun: iterations done before it.
    figures: the share of held-out problems solved in each measurement of it.
  """

  configs: list[StageConfig]
  present: int = 0
  begun: int = 0
  figures: list[float] = dataclasses.field(default_factory=list)

  def is_last(self, done: int) -> bool:
    """Return whether a stage has had all of its iterations."""
    if self.present == len(self.configs):
      return False
    return done - self.begun >= self.configs[self.present].num_iterations

  def record(self, done: int, figure: float | None) -> bool:
    """Take note of an iteration; return whether the next stage begins.

    Args:
      done: iterations done.
      figure: share of the held-out problems solved, if it was measured.
    """
    if self.present == len(self.configs):
      return False
    if figure is not None:
      self.figures.append(figure)
    config = self.configs[self.present]
    best = self.figures.index(max(self.figures)) if self.figures else 0
    waited = len(self.figures) - 1 - best
    stalls = config.patience and waited >= config.patience
    if not (stalls or self.is_last(done)):
      return False
    self.present, self.begun, self.figures = self.present + 1, done, []
    return True

  def metadata(self) -> dict[str, object]:
    """Return what to save, for `dataclasses.replace`."""
    return dict(
      present=self.present, begun=self.begun, figures=list(self.figures)
    )
