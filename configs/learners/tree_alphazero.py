"""AlphaZero on all nodes of its trees; see `configs/learners/base.py`."""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.get_config(
    problems,
    "TreeAlphaZero",
    value_weight=1.0,
    learn_from="all",  # nodes; or "solutions", the ways to them
    failure_share=1.0,  # of the nodes that teach a value alone, kept
  )
  config.learner.augment = True
  config.selfplay.num_targets = 4  # candidates of a node that are imitated
  return config
