"""Random legal steps of countdown, to be imitated: the rules, and no plan.

--config configs/countdown_rules.py      4 numbers
--config configs/countdown_rules.py:ci   3 numbers, seconds

`configs/countdown_finetuned.py` goes on from there by self-play.
"""

from configs import countdown, countdown_traces


def get_config(size: str = "full"):
  """Return the config; `size` is `full` or `ci`."""
  if size not in ("full", "ci"):
    raise ValueError(f"countdown_rules.py:{size}: give full or ci")
  config = countdown_traces.get_config("tiny" if size == "full" else "ci")
  played = countdown.get_config("full" if size == "full" else "tiny")
  config.unlock()
  config.task = played.task
  config.data = dict(kind="rules")
  if size == "full":
    config.model = played.model
  return config.lock()
