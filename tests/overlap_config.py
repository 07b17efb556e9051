"""Rounds and learning that take seconds, with little to compile, no trees."""

import tiny_config


def get_config():
  """Return the tiny config with more to play and to learn."""
  config = tiny_config.get_config()
  config.search.update(num_simulations=0, permission="rules")
  config.selfplay.update(num_slots=256, num_moves=16)
  config.learner.update(learn_from="solved", capacity=60_000, max_steps=60)
  return config
