"""STILL-1 (Jiang et al., 2024): an outcome reward model; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.SUPERVISED,
    reward=slots.OUTCOME_MODEL,
    training_search=slots.SAMPLING,
    learning=slots.DPO,
    test_search=slots.TEST_TREE,
  )
