"""The world kind, which foresees states; see `configs.rewards.process`."""

from configs.rewards import process


def get_config():
  """Return the config."""
  return process.get_config("world")
