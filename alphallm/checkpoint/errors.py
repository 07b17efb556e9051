"""What is wrong with a checkpoint and what to do about it, in one line."""

import pathlib
from collections.abc import Sequence


class CheckpointError(Exception):
  """A checkpoint that cannot be written or read; one line says what to do."""


class DamagedCheckpointError(CheckpointError):
  """A checkpoint with missing or changed files; `reason` says which."""

  def __init__(
    self,
    directory: pathlib.Path,
    step: int,
    reason: str,
    *,
    others: Sequence[int],
  ):
    """Say which checkpoint is damaged and which of the `others` to take."""
    way_out = "it is the only one: train again in another --workdir"
    if others:
      way_out = (
        f"step {others[-1]} is there too: restore that one, or delete"
        f" {directory / str(step)}"
      )
    super().__init__(
      f"the checkpoint of step {step} in {directory} is damaged: {reason};"
      f" {way_out}"
    )
    self.reason = reason


def failed_save(
  directory: pathlib.Path, step: int, error: Exception, *, latest: int | None
) -> CheckpointError:
  """Return what to raise where `error` kept a checkpoint from being written.

  Args:
    directory: of the checkpoints.
    step: of the one that was not written.
    error: that of Orbax.
    latest: the last step that is there, if any.
  """
  kept = (
    "there is no checkpoint before it"
    if latest is None
    else f"that of step {latest} is kept"
  )
  return CheckpointError(
    f"the checkpoint of step {step} could not be written to {directory}:"
    f" {reason(error)}; {kept}; free space there or give another --workdir, and"
    " start again"
  )


def reason(error: BaseException) -> str:
  """Return the root cause of an error in one line."""
  while error.__cause__ or error.__context__:
    error = error.__cause__ or error.__context__
  text = str(error).strip().split("\n")[0].split(" [tensorstore_spec")[0]
  return text[:300] or type(error).__name__
