"""The grid of `alphallm.scaling`, and the run that is repeated in it.

--grid ci      16 cells, minutes, most of them to compile
--grid hour    144 cells of blocks world, under two hours of one core
--grid small   180 cells, 2 cores overnight
--grid gpu     270 cells, one GPU hour
"""

from configs import countdown, quickstart


def get_config(grid: str = "small"):
  """Return the config; `grid` is `ci`, `hour`, `small` or `gpu`."""
  if grid not in ("ci", "hour", "small", "gpu"):
    raise ValueError(f"{grid!r} is none of ci, hour, small, gpu")
  config = countdown.get_config("tiny")
  if grid == "hour":
    config = quickstart.get_config()
    config.task.max_blocks = 4
    config.search.max_depth = 8
    config.learner.min_examples = 500
  config.grid = dict(
    embed_dims=(32, 64, 128),  # of the network; its other sizes follow
    simulations=(2, 8, 32),  # a move, of the search in training
    iterations=(5, 10, 20, 40),  # rounds of self-play and learning
    budgets=(0, 1, 4, 16, 64),  # simulations a move at the test; 0: greedy
    num_problems=500,  # held out
    served=10_000,  # problems of the test that a training is spread over
  )
  if grid == "hour":
    config.grid.embed_dims = (16, 32, 64)
    config.grid.iterations = (4, 8, 16, 32)
    config.grid.budgets = (0, 1, 4, 16)
  if grid == "gpu":
    config.grid.embed_dims = (64, 128, 256)
    config.grid.iterations = (10, 20, 40, 80, 160)
    config.grid.budgets = (0, 1, 4, 16, 64, 256)
    config.grid.num_problems = 1_000
    config.selfplay.num_slots = 512
    config.learner.batch_size = 512
  if grid == "ci":
    config.grid.embed_dims = (16, 32)
    config.grid.simulations = (1, 2)
    config.grid.iterations = (1, 2)
    config.grid.budgets = (0, 1)
    config.grid.num_problems = 8
    config.model.num_layers = 1
    config.search.update(num_candidates=2, shrink=0)
    config.selfplay.update(num_slots=4, num_moves=2)
    config.learner.update(batch_size=4, capacity=64, min_examples=1)
    config.learner.update(max_steps=2, warmup_steps=2, decay_steps=8)
    config.train.update(num_eval_problems=4, eval_batch_size=4)
    config.train.eval_simulations = 1
  config.train.evaluate_every = max(config.grid.iterations)
  config.train.checkpoint_every = max(config.grid.iterations)
  return config
