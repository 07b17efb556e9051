"""RLOO; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(problems, "RLOO", group_size=8, entropy_weight=0.003)
  config.learner.reuse = 1.0  # its gradient is that of the present policy
  return config
