"""Countdown with 4 numbers and targets 10 to 100, as in Stream of Search.

--config configs/countdown.py          two hours on one core
--config configs/countdown.py:night    five times as long
--config configs/countdown.py:tiny     3 numbers, half an hour on one core
"""

from configs import quickstart

_ITERATIONS = {"full": 300, "night": 1_500, "tiny": 60}


def get_config(length: str = "full"):
  """Return the config; `length` is `full`, `night` or `tiny`."""
  if length not in _ITERATIONS:
    raise ValueError(f"countdown.py:{length}: give full, night or tiny")
  config = quickstart.get_config()
  config.task = dict(
    kind="Countdown",
    num_numbers=3 if length == "tiny" else 4,
    min_target=10,
    max_target=100,
    max_value=999,  # of an intermediate result
    context="reset",
  )
  config.search.max_depth = config.task.num_numbers - 1
  config.search.shrink = 1  # most trees rest early, solved or exhausted
  config.train.num_iterations = _ITERATIONS[length]
  config.learner.decay_steps = 28_000
  if length == "night":
    config.learner.decay_steps = 140_000
    config.learner.capacity = 200_000
  if length == "tiny":
    config.learner.decay_steps = 4_000
  return config
