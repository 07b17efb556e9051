"""Actor and critic, with V-trace; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(
    problems,
    "ActorCritic",
    ratio_clip=1.0,  # the most that π/μ may be
    gae_lambda=0.95,  # of the λ-returns
    normalize=True,  # advantages have mean 0 and deviation 1 in a batch
    value_weight=0.5,
    entropy_weight=0.003,
  )
  if problems != "tiny":
    config.learner.batch_size = 64  # episodes
  config.learner.max_age = 4  # iterations
  return config
