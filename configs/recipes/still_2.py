"""STILL-2 (Min et al., 2024): imitate, explore, improve; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.THOUGHTS,
    reward=slots.OUTCOME,
    training_search=slots.SAMPLING_HARD,
    learning=slots.CLONING_AND_DPO,
    test_search=slots.TEST_SAMPLING,
  )
