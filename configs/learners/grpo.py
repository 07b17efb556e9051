"""GRPO; see `configs/learners/base.py`.

Dr. GRPO: --config.learner.use_std=False --config.learner.mean=constant
DAPO: --config.learner.clip_high=0.28 --config.learner.mean=token
  --config.learner.dynamic_sampling=True
"""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  return base.sampled(
    problems,
    "GRPO",
    group_size=8,
    clip=0.2,  # of the ratio of probabilities
    clip_high=0.0,  # above; 0: as below
    unit="token",  # what has a ratio of its own
    use_std=True,  # advantages in units of their group's deviation
    mean="sequence",  # over answers of the means over their tokens
    dynamic_sampling=False,  # leave out groups without a difference
    entropy_weight=0.003,
  )
