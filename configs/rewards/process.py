"""Reward models of a policy's workdir, by alphallm.train_reward.

--config configs/rewards/process.py            labels of steps by rollouts
--config configs/rewards/process.py:KIND       outcome, preference, pairwise,
                                               implicit, expert or world
"""

from ml_collections import config_dict


def get_config(kind: str = "process"):
  """Return the config of one kind of model, which is also its name."""
  config = config_dict.ConfigDict()
  config.name = kind  # of the folder in the workdir
  config.kind = kind
  config.seed = 0
  config.labels = "soft"  # or hard, omega; tree: the nodes of search trees
  config.num_rollouts = 8  # from each prefix, for its label
  config.num_simulations = 16  # of each tree, for labels of its nodes; world
  config.aggregate = "last"  # step scores into one: or min, product, mean
  config.num_problems = 1_000  # of the train split
  config.num_samples = 8  # solutions of each
  config.rules_propose = False  # random legal steps where one is illegal
  config.num_held_out = 250  # problems of the test split
  config.demonstrations = 1_000  # right solutions, for the expert kind
  config.unroll = 3  # steps foreseen in a row, for the world kind
  config.fit = dict(
    trunk="policy",  # weights first: or fresh; shared: the head alone learns
    num_steps=1_000,  # of the optimizer
    batch_size=128,  # examples
    learning_rate=1e-3,  # peak, of AdamW
    beta=0.1,  # of DPO, for the implicit kind
    alpha=0.5,  # of IQ-Learn's regulariser, for the expert kind
    discount=1.0,  # of IQ-Learn, per token
    augment=False,  # show each use of a state under a random symmetry
  )
  return config
