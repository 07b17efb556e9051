"""Cloning until it stops improving, then PPO; see `base.py`."""

from configs.learners import ppo


def get_config(problems: str = "blocks_world"):
  """Return PPO's config, with a stage of cloning before it."""
  config = ppo.get_config(problems)
  config.before += (
    dict(
      num_iterations=40,  # at most
      patience=2,  # measurements of held-out problems without a better one
      learner=dict(
        kind="Cloning",
        learning_rate=1e-3,
        learn_from="solved",  # episodes
        augment=True,
        max_age=0,  # while the buffer holds it
      ),
    ),
  )
  if problems == "tiny":
    config.before[-1].update(num_iterations=1)
  return config
