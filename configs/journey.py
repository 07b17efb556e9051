"""Trees of countdown, written as thoughts and imitated, round after round.

--config configs/journey.py        4 numbers
--config configs/journey.py:tiny   3 numbers
--config configs/journey.py:ci     3 numbers, seconds
"""

from configs import countdown_traces


def get_config(size: str = "full"):
  """Return the config; `size` is `full`, `tiny` or `ci`."""
  config = countdown_traces.get_config(size)
  with config.unlocked():
    del config.data  # what is imitated is searched for
  config.unlock()
  config.journey = dict(
    num_rounds=3,
    num_problems=4_000,  # searched in each round
    every_state=True,  # a thought begins at each state on the way, too
    budgets=(4, 16, 64),  # of the tree searches that are measured
  )
  config.search = dict(
    num_simulations=64,  # nodes expanded below the root
    num_candidates=8,  # steps proposed at a node
    max_depth=config.task.source.num_numbers - 1,
    permission="checker",  # may ask what is legal and what solves
    rules_propose=True,  # random legal steps where the network has none
    leaf_value="likelihood",  # thoughts teach no value
    policy=dict(kind="gumbel", value_scale=0.1),
  )
  if size != "full":
    config.journey.budgets = (4, 16)
    config.search.num_simulations = 32
  if size == "ci":
    config.journey.update(num_rounds=2, num_problems=64, budgets=(2,))
    config.search.update(num_simulations=8, num_candidates=4)
  return config.lock()
