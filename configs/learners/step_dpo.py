"""DPO on sibling steps of trees; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.get_config(
    problems,
    "StepDPO",
    beta=0.1,  # how little the policy may leave its reference
    whole_tree=True,  # from all nodes, or the roots alone
    least_gap=0.3,  # between the two Q
    least_visits=2,  # of each
    likelihood_weight=1.0,  # of −log π of the better, a token
    reference_every=10,  # iterations between references
  )
  config.learner.update(augment=True, learning_rate=3e-4)
  return config
