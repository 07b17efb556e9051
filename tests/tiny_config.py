"""Blocks world of 3 blocks, so small that a run takes seconds; for tests."""

from configs import quickstart


def get_config():
  """Return the quickstart's config, made small."""
  config = quickstart.get_config()
  config.task.max_blocks = 3
  config.model.update(
    num_layers=1, embed_dim=16, num_heads=2, num_kv_heads=1, head_dim=8
  )
  config.model.mlp_dim = 32
  config.search.update(num_simulations=3, num_candidates=4, max_depth=6)
  config.selfplay.update(num_slots=16, num_moves=2)
  config.learner.update(
    batch_size=8, warmup_steps=4, decay_steps=40, capacity=256, min_examples=8
  )
  config.train.update(
    num_iterations=6,
    evaluate_every=3,
    checkpoint_every=2,
    num_eval_problems=16,
    eval_simulations=3,
  )
  return config
