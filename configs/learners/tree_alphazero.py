"""AlphaZero on all nodes of its trees; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.get_config(problems, "TreeAlphaZero", value_weight=1.0)
  config.learner.augment = True
  return config
