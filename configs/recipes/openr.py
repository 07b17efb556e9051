"""OpenR (Wang et al., 2024): a process reward and PPO; see `slots.py`."""

from configs.recipes import slots


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(
    problems,
    initialization=slots.RULES,
    reward=slots.PROCESS,
    training_search=slots.SAMPLING,
    learning=slots.PPO,
    test_search=slots.TEST_GUIDED_TREE,
  )
