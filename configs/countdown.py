"""Countdown with 4 numbers and targets 10 to 100, as in Stream of Search.

--config configs/countdown.py        for a night on one machine, or a GPU hour
--config configs/countdown.py:tiny   3 numbers, half an hour on two cores
"""

from configs import quickstart


def get_config(size: str = "full"):
  """Return the config; `size` is `full` or `tiny`."""
  if size not in ("full", "tiny"):
    raise ValueError(f"countdown.py:{size}: give full or tiny")
  config = quickstart.get_config()
  config.task = dict(
    kind="Countdown",
    num_numbers=4,
    min_target=10,
    max_target=100,
    max_value=999,  # of an intermediate result
    context="reset",
  )
  config.model.update(
    num_layers=4, embed_dim=128, num_heads=4, num_kv_heads=2, head_dim=32
  )
  config.model.mlp_dim = 256
  config.search.max_depth = 3
  config.selfplay.num_targets = 4
  config.learner.batch_size = 256
  config.learner.learning_rate = 1e-3
  config.learner.decay_steps = 100_000
  config.learner.capacity = 200_000
  config.train.num_iterations = 3_000
  config.train.evaluate_every = 25
  config.train.checkpoint_every = 25
  if size == "tiny":
    config.task.num_numbers = 3
    config.model = quickstart.get_config().model
    config.search.max_depth = 2
    config.selfplay.num_targets = 1
    config.learner.update(batch_size=128, learning_rate=2e-3)
    config.learner.decay_steps = 4_000
    config.learner.capacity = 40_000
    config.train.num_iterations = 60
    config.train.evaluate_every = 10
    config.train.checkpoint_every = 10
  return config
