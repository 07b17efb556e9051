"""AlphaZero: the improved policy and the outcome; see `base.py`.

TD(λ) values: --config.learner.td_lambda=0.8 --config.search.play_solution=False
"""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.get_config(
    problems,
    "AlphaZero",
    learn_from="solutions",  # or "solved" episodes, or "all" states
    failure_share=0.25,  # of the states that teach a value alone, kept
    td_lambda=1.0,  # of the value's targets; 1: the outcome
  )
  config.search.play_solution = True
  config.learner.augment = True
  return config
