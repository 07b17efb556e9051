"""Trees, written as thoughts and imitated, round after round.

--config configs/journey.py                countdown with 4 numbers
--config configs/journey.py:tiny           3 numbers
--config configs/journey.py:blocks_world   3 and 4 blocks, an hour on one core
--config configs/journey.py:ci             3 numbers, seconds
"""

from configs import blocks_world_traces, countdown_traces


def get_config(size: str = "full"):
  """Return the config; `size` is `full`, `tiny`, `blocks_world` or `ci`."""
  blocks = size == "blocks_world"
  traces = blocks_world_traces if blocks else countdown_traces
  config = traces.get_config("full" if blocks else size)
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
    max_depth=8 if blocks else config.task.source.num_numbers - 1,
    permission="checker",  # may ask what is legal and what solves
    rules_propose=True,  # random legal steps where the network has none
    leaf_value="likelihood",  # thoughts teach no value
    policy=dict(kind="gumbel", value_scale=0.1),
  )
  if size != "full":
    config.journey.budgets = (4, 16)
    config.search.num_simulations = 32
  if blocks:
    config.task.source.max_blocks = 4
    config.task.update(max_steps=40, max_tokens=224)
    config.journey.num_problems = 2_000
    config.tuning.update(batch_size=24, row_tokens=256, decay_steps=400)
    config.train.update(num_steps=400, checkpoint_every=100)
    config.train.update(evaluate_every=400, num_eval_problems=256)
  if size == "ci":
    config.journey.update(num_rounds=2, num_problems=64, budgets=(2,))
    config.search.update(num_simulations=8, num_candidates=4)
  return config.lock()
