"""Training checkpoints: written beside the training, restored whole or not."""

from alphallm.checkpoint.checkpointer import Checkpointer, Restored, any_in
from alphallm.checkpoint.errors import CheckpointError, DamagedCheckpointError

__all__ = [
  "CheckpointError",
  "Checkpointer",
  "DamagedCheckpointError",
  "Restored",
  "any_in",
]
