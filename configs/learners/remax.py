"""ReMax: REINFORCE less the greedy return; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(problems, "ReMax", group_size=4, entropy_weight=0.003)
  config.selfplay.greedy_first = True  # one of the attempts
  config.learner.reuse = 1.0  # its gradient is that of the present policy
  return config
