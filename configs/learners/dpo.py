"""DPO on solutions, with a new reference now and then; see `base.py`.

IPO: --config.learner.loss_kind=ipo
"""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(
    problems,
    "DPO",
    group_size=8,
    likelihood_weight=0.0,  # of −log π of the better, a token
    beta=0.1,  # how little the policy may leave its reference
    loss_kind="dpo",  # or "ipo"
    by_length=False,  # log-probabilities divided by their tokens
    reference_every=10,  # iterations between references
  )
  config.learner.learning_rate = 3e-4
  if problems != "tiny":
    config.learner.batch_size = 32  # pairs
  config.learner.max_age = 4  # iterations
  return config
