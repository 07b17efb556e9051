"""The preference kind of reward model; see `configs.rewards.process`."""

from configs.rewards import process


def get_config():
  """Return the config."""
  return process.get_config("preference")
