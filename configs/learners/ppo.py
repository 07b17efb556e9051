"""PPO on episodes that the policy samples; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(
    problems,
    "PPO",
    clip=0.2,  # of the ratio of a step's probabilities
    gae_lambda=0.95,  # of the advantages
    value_weight=0.5,
    value_clip=0.2,  # how near the old value the new one is held
    entropy_weight=0.003,
  )
  config.learner.learning_rate = 3e-4
  return config
