"""O1-Journey 2 (Huang et al., 2024): distilled thoughts; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.THOUGHTS,
    reward=slots.NOTHING,
    training_search=slots.NO_SEARCH,
    learning=slots.NOTHING,
    test_search=slots.TEST_SAMPLING,
  )
