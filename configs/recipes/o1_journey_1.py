"""O1-Journey 1 (Qin et al., 2024): beams by process reward; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.SUPERVISED,
    reward=slots.PROCESS,
    training_search=slots.BEAM,
    learning=slots.CLONING,
    test_search=slots.TEST_SAMPLING,
  )
