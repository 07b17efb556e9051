"""AlphaZero from the rules alone; see `slots.py`."""

from configs.recipes import slots

CHOICE = dict(
  initialization=slots.RULES,
  reward=slots.OUTCOME,
  training_search=slots.TREE,
  learning=slots.ALPHAZERO,
  test_search=slots.TEST_TREE,
)


def get_config(problems: str = "countdown"):
  """Return the config; `problems` is TASK or TASK,SIZE."""
  return slots.get_config(problems, **CHOICE)
