"""Expert iteration: imitate what sampling solved; see `base.py`.

ReST-EM: --config.learner.most_per_problem=2
"""

from configs.learners import base


def get_config(problems: str = "blocks_world"):
  """Return the config."""
  config = base.sampled(
    problems,
    "Cloning",
    group_size=4,
    learn_from="solved",  # episodes, or "all"
    most_per_problem=0,  # attempts; 0: all
    failure_share=0.25,  # of the states that teach a value alone, kept
  )
  config.learner.learning_rate = 1e-3
  config.learner.max_age = 0  # while the buffer holds it
  config.learner.augment = True
  return config
