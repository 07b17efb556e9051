"""O1-CODER (Zhang et al., 2024): process and outcome, MCTS; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.SUPERVISED,
    reward=slots.PROCESS_AND_OUTCOME,
    training_search=slots.GUIDED_TREE,
    learning=slots.PPO,
    test_search=slots.TEST_TREE,
  )
