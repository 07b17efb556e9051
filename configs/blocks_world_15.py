"""Blocks world of 3 to 15 blocks by a curriculum, for a GPU hour or a night.

--config configs/blocks_world_15.py        the whole course
--config configs/blocks_world_15.py:7      as far as 7 blocks, on two cores
"""

from configs import quickstart


def get_config(most: str = "15"):
  """Return the config; `most` is the largest number of blocks."""
  if not most.isdecimal() or not 4 <= int(most) <= 15:
    raise ValueError(f"blocks_world_15.py:{most}: give 4 to 15 blocks")
  blocks = int(most)
  config = quickstart.get_config()
  config.task.max_blocks = blocks
  config.search.max_depth = 2 * blocks
  config.train.first_level = 4
  config.train.level_up = 0.9
  config.learner.decay_steps = 20_000
  config.learner.capacity = 60_000
  config.train.num_iterations = 200
  if blocks > 8:
    config.model.update(num_layers=6, embed_dim=128, num_heads=8)
    config.model.update(num_kv_heads=4, mlp_dim=384)
    config.search.update(num_simulations=32, shrink=2)
    config.selfplay.num_slots = 512
    config.learner.update(batch_size=512, learning_rate=1e-3)
    config.learner.update(decay_steps=60_000, capacity=400_000)
    config.train.num_iterations = 1_000
  return config
