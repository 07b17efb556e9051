"""Thinking Claude: a prompt that asks to think aloud; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "arithmetic"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.MONOLOGUE,
    reward=slots.NOTHING,
    training_search=slots.NO_SEARCH,
    learning=slots.NOTHING,
    test_search=slots.TEST_SAMPLING,
  )
