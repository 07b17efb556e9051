"""Blocks world up to one size, with search and without, reset or append.

Problems of 3 to N blocks are learnt, those of N are measured.

--config configs/blocks_world.py:6             tree search, 6 blocks
--config configs/blocks_world.py:6,no_search   imitate what sampling solved
--config configs/blocks_world.py:4,append      the context is the whole story
--config configs/blocks_world.py:4,ci          90 seconds on two cores
"""

from configs import quickstart

# Of 5 blocks about five minutes on one core, of 6 about twelve.
_ITERATIONS = {3: 10, 4: 25, 5: 50, 6: 120}


def get_config(variant: str = "4"):
  """Return the quickstart's config for one number of blocks.

  Args:
    variant: the largest number of blocks, then any of `no_search`, `append`
      and `ci`, separated by commas.
  """
  blocks, *options = variant.split(",")
  unknown = set(options) - {"no_search", "append", "ci"}
  if unknown or not blocks.isdecimal():
    raise ValueError(
      f"blocks_world.py:{variant}: give a number of blocks, then any of "
      "no_search, append, ci"
    )
  config = quickstart.get_config()
  config.task.max_blocks = config.train.eval_level = int(blocks)
  config.search.max_depth = 2 * int(blocks)
  config.train.num_iterations = _ITERATIONS.get(int(blocks), 120)
  config.train.num_eval_problems = 512
  if "append" in options:
    config.task.context = "append"
    config.search.shrink = 1  # a node costs more here than a smaller batch
    config.learner.batch_size = 32  # episodes; each holds all of its states
    config.learner.capacity = 8_000
    config.learner.min_examples = 500
    config.train.num_iterations *= 2
  config.learner.decay_steps = 90 * config.train.num_iterations
  if "no_search" in options:
    # The same candidates, the same rules, the same checker, but no tree: a
    # candidate is drawn, a winning one is seen; what was solved is imitated.
    config.search.num_simulations = 0
    config.learner.learn_from = "solved"
    config.train.num_iterations *= 3  # they are shorter; compare by time
    config.train.evaluate_every *= 4
    config.train.checkpoint_every *= 4
    config.learner.decay_steps = 50 * config.train.num_iterations
  if "ci" in options:
    config.train.num_iterations = 16
    config.train.evaluate_every = 4
    config.learner.decay_steps = 1_200
  return config
