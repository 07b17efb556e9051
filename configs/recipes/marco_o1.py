"""Marco-o1 (Zhao et al., 2024): MCTS by token confidence; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.SUPERVISED,
    reward=slots.CONFIDENCE,
    training_search=slots.TREE,
    learning=slots.CLONING,
    test_search=slots.TEST_TREE,
  )
