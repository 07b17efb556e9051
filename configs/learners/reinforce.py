"""REINFORCE with a baseline; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(
    problems,
    "Reinforce",
    baseline="mean",  # or "none", or "value"
    value_weight=0.0,  # of the value's loss; above 0 if it is the baseline
    entropy_weight=0.003,
  )
  config.learner.reuse = 1.0  # its gradient is that of the present policy
  return config
