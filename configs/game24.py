"""Game of 24: the 1,362 solvable hands of four cards from 1 to 13."""

from configs import countdown


def get_config(size: str = "full"):
  """Return the config of countdown for this task; see there."""
  config = countdown.get_config(size)
  config.task = dict(kind="Game24", context="reset")
  config.search.max_depth = 3
  return config
