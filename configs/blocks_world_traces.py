"""Thoughts of searchers about blocks world, to be imitated: a first policy.

--config configs/blocks_world_traces.py      3 to 5 blocks
--config configs/blocks_world_traces.py:ci   3 blocks, seconds
"""

from configs import countdown_traces


def get_config(size: str = "full"):
  """Return the config; `size` is `full` or `ci`."""
  if size not in ("full", "ci"):
    raise ValueError(f"blocks_world_traces.py:{size}: give full or ci")
  config = countdown_traces.get_config("tiny" if size == "full" else "ci")
  config.unlock()
  config.task.source = dict(
    kind="BlocksWorld",
    min_blocks=3,  # smallest problem
    max_blocks=5 if size == "full" else 3,  # largest problem
  )
  config.data.update(max_width=3, max_visits=20)
  config.task.update(max_steps=60, max_tokens=320)
  config.tuning.update(batch_size=16, accumulate=1, row_tokens=384)
  return config.lock()
