"""Game of 24: the 1,362 solvable hands of four cards from 1 to 13.

Lengths as of `configs/countdown.py`; `:tiny` is but a short run.
"""

from configs import countdown


def get_config(length: str = "full"):
  """Return the config of countdown for this task; see there."""
  config = countdown.get_config(length)
  config.task = dict(kind="Game24", context="reset")
  config.search.max_depth = 3
  return config
