"""PPO on all nodes of trees; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.get_config(
    problems,
    "TreePPO",
    clip=0.2,  # of the ratio of a step's probabilities
    value_weight=0.5,
    entropy_weight=0.003,
  )
  config.learner.update(max_age=1, reuse=2.0, min_examples=1)
  config.learner.learning_rate = 3e-4
  return config
