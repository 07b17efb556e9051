"""Saving a state beside the training, and restoring it whole or not at all."""

import json
import math
import pathlib
import sys
import typing
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from alphallm.checkpoint import errors, leaves, seal

Step = int | Literal["best"] | None


class Restored(typing.NamedTuple):
  """What a checkpoint held.

  Attributes:
    step: the step at which it was saved.
    state: the pytree, on the shardings that were asked for.
    metadata: the JSON dictionary saved with it.
  """

  step: int
  state: Any
  metadata: dict[str, Any]


def any_in(directory: pathlib.Path) -> bool:
  """Return whether a directory holds a checkpoint, whole or damaged."""
  return any(path.name.isdecimal() for path in directory.glob("*"))


class Checkpointer:
  """A directory of checkpoints: the last few, and the best by a metric.

  A save copies the state and is written in the background, so the state may be
  donated right after it. A checkpoint appears under its final name once it is
  whole; what a killed process left half-written is ignored, and removed by the
  next process that writes. A checkpoint is sealed with the checksums of its
  files at the next call of `save`, `wait` or `close`.

  The state is any pytree of JAX arrays (typed PRNG keys too), NumPy arrays and
  numbers. Leaves are known by their path in the tree, not by the classes of its
  nodes, so a subtree can be restored alone.
  """

  def __init__(
    self,
    directory,
    *,
    keep: int = 2,
    best: str | None = None,
    read_only: bool = False,
  ):
    """Open a directory of checkpoints.

    Args:
      directory: where the checkpoints are; made if it is missing, unless
        `read_only`.
      keep: how many of the last checkpoints are kept.
      best: name of the metric whose highest value marks one more checkpoint to
        keep.
      read_only: change nothing; for programs that read what another trains.

    Raises:
      CheckpointError: if `read_only` and the directory is missing, or if it
        cannot be made.
    """
    self._directory = pathlib.Path(directory).absolute()
    self._best = best
    self._read_only = read_only
    self._unsealed: int | None = None
    if read_only and not self._directory.is_dir():
      raise errors.CheckpointError(
        f"no checkpoints: {self._directory} does not exist; train first, or"
        " give the workdir of a finished run"
      )
    policies = ocp.training.preservation_policies
    preserve = [policies.LatestN(keep)]
    if best is not None:
      preserve.append(
        policies.BestN(
          get_metric_fn=lambda metrics: metrics.get(best, -math.inf),
          n=1,
          keep_checkpoints_without_metrics=False,
        )
      )
    try:
      self._checkpointer = ocp.training.Checkpointer(
        self._directory,
        preservation_policy=policies.AnyPreservationPolicy(preserve),
        cleanup_tmp_directories=not read_only,
      )
    except OSError as error:
      raise errors.CheckpointError(
        f"cannot open {self._directory} for checkpoints:"
        f" {errors.reason(error)}; give another --workdir"
      ) from error

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def latest_step(self) -> int | None:
    """Return the step of the last checkpoint, None if there is none."""
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  def best_step(self) -> int | None:
    """Return the step with the best metric, the last where none has one."""
    scored = [
      (checkpoint.metrics[self._best], checkpoint.step)
      for checkpoint in self._checkpointer.checkpoints
      if checkpoint.metrics and self._best in checkpoint.metrics
    ]
    return max(scored)[1] if scored else self.latest_step()

  def steps(self) -> list[int]:
    """Return the steps of all checkpoints, ascending."""
    return [c.step for c in self._checkpointer.checkpoints]

  def save(
    self,
    step: int,
    state: Any,
    metadata: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
  ) -> None:
    """Start writing a checkpoint; returns once the state is copied.

    Waits for the checkpoint before it. A checkpoint of the same step is
    replaced.

    Args:
      step: the number of the checkpoint, at least that of the last one.
      state: the pytree to save.
      metadata: a small dictionary for JSON: config, names, counters.
      metrics: figures of this checkpoint; a metric that is not finite never
        marks the best.

    Raises:
      CheckpointError: if this checkpoint or the one before it could not be
        written. The checkpoints before stay as they were.
      TypeError: if `metadata` is not for JSON.
    """
    if self._read_only:
      raise ValueError("these checkpoints were opened to be read only")
    self.wait()
    latest = self.latest_step()
    if latest is not None and step < latest:
      raise errors.CheckpointError(
        f"{self._directory} holds a checkpoint of step {latest}, after step"
        f" {step}: train into another --workdir, or delete the later one"
      )
    named = leaves.flatten(state)
    arrays = leaves.to_save(named)
    metrics = {
      name: float(value)
      for name, value in (metrics or {}).items()
      if math.isfinite(value)
    }
    json.dumps(metadata)  # raises here, not in the middle of a save
    try:
      with jax.transfer_guard("allow"):
        self._checkpointer.save_async(
          step,
          arrays,
          force=True,
          overwrite=step == latest,
          metrics=metrics or None,
          custom_metadata={
            "metadata": metadata or {},
            "leaves": leaves.describe(named),
          },
        )
    except Exception as error:
      raise self._failed_save(step, error) from error
    self._unsealed = step

  def wait(self) -> None:
    """Wait until the last save is on disk.

    Raises:
      CheckpointError: if it could not be written.
    """
    step, self._unsealed = self._unsealed, None
    try:
      self._checkpointer.wait()
      if step is not None and jax.process_index() == 0:
        seal.write(self._directory / str(step))
    except Exception as error:
      raise self._failed_save(step, error) from error

  def close(self) -> None:
    """Wait for the last save and let go of the directory."""
    try:
      self.wait()
    finally:
      self._checkpointer.close()

  def metadata(self, step: Step = None) -> dict[str, Any]:
    """Return the dictionary saved with a checkpoint; see `restore`."""
    step = self._resolve(step)
    self._check_seal(step, quick=True)
    return self._read_metadata(step)["metadata"]

  def restore(
    self, abstract_state: Any, step: Step = None, *, partial: bool = False
  ) -> Restored:
    """Restore a checkpoint.

    Args:
      abstract_state: the pytree to fill: `jax.ShapeDtypeStruct` with the
        sharding wanted (without one: the first device), or arrays, of which
        shape, dtype and sharding count; a NumPy array is restored as such.
      step: which checkpoint: a step, `"best"`, or None for the last.
      partial: whether the checkpoint may hold leaves that `abstract_state` has
        not; they are not read.

    Raises:
      CheckpointError: if there is no such checkpoint, if it is damaged, or if
        it does not fit `abstract_state`.
    """
    step = self._resolve(step)
    self._check_seal(step)
    saved = self._read_metadata(step)
    wanted = leaves.flatten(abstract_state)
    self._check_fit(step, saved["leaves"], wanted, partial)
    abstract = {
      name: ocp.PLACEHOLDER
      for name, description in saved["leaves"].items()
      if leaves.has_elements(description)
    } | leaves.to_read(wanted)
    try:
      with jax.transfer_guard("allow"):
        arrays = self._checkpointer.load(step, abstract)
    except Exception as error:
      raise self._damaged(step, errors.reason(error)) from error
    return Restored(
      step=step,
      state=leaves.fill(abstract_state, arrays),
      metadata=saved["metadata"],
    )

  def restore_newest_whole(
    self, abstract_state: Any, *, partial: bool = False
  ) -> Restored:
    """Restore the last checkpoint that is whole, and tell of damaged ones.

    A damaged checkpoint costs a line on standard error and, unless these
    checkpoints are read only, is set aside under the name `STEP.damaged`.

    Raises:
      CheckpointError: if none is whole, or one does not fit.
    """
    reason = None
    for step in reversed(self.steps()):
      try:
        restored = self.restore(abstract_state, step, partial=partial)
      except errors.DamagedCheckpointError as error:
        reason = reason or error
        if jax.process_index() == 0:
          print(
            f"the checkpoint of step {step} is damaged ({error.reason}): trying"
            " the one before it",
            file=sys.stderr,
            flush=True,
          )
        continue
      self._set_aside([s for s in self.steps() if s > step])
      return restored
    if reason is None:
      self._resolve(None)
    raise reason

  def _resolve(self, step: Step) -> int:
    steps = self.steps()
    if not steps:
      raise errors.CheckpointError(
        f"no checkpoint in {self._directory}: train first, or give the workdir"
        " of a finished run"
      )
    if step is None:
      return steps[-1]
    if step == "best":
      return self.best_step()
    if step not in steps:
      raise errors.CheckpointError(
        f"no checkpoint of step {step} in {self._directory}; there are steps"
        f" {', '.join(map(str, steps))}"
      )
    return step

  def _check_seal(self, step: int, *, quick: bool = False) -> None:
    # Before Orbax reads: it tells of damage in pages of logs.
    reason = None
    if jax.process_index() == 0:
      reason = seal.broken(self._directory / str(step), quick=quick)
    if jax.process_count() > 1 and multihost_utils.broadcast_one_to_all(
      np.asarray(reason is not None)
    ):
      reason = reason or "process 0 says how"
    if reason:
      raise self._damaged(step, reason)

  def _read_metadata(self, step: int) -> dict[str, Any]:
    try:
      saved = self._checkpointer.checkpointables_metadata(step).custom_metadata
    except Exception as error:
      raise self._damaged(step, errors.reason(error)) from error
    if not saved or "leaves" not in saved:
      raise self._damaged(step, "its metadata is missing or unreadable")
    return saved

  def _check_fit(self, step, saved, wanted, partial):
    """Raise unless the saved leaves are the wanted ones."""
    problems = leaves.misfits(saved, wanted, partial=partial)
    if problems:
      more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
      raise errors.CheckpointError(
        f"the checkpoint of step {step} in {self._directory} was made by"
        f" another config: {problems[0]}{more}; use the config of that run, or"
        " another --workdir"
      )

  def _set_aside(self, steps):
    if self._read_only or not steps:
      return
    if jax.process_index() == 0:
      for step in steps:
        seal.set_aside(self._directory / str(step))
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices("damaged checkpoints are set aside")
    self._checkpointer.reload()

  def _damaged(self, step, reason):
    others = [s for s in self.steps() if s != step]
    return errors.DamagedCheckpointError(
      self._directory, step, reason, others=others
    )

  def _failed_save(self, step, error):
    self._checkpointer.reload()
    return errors.failed_save(
      self._directory, step, error, latest=self.latest_step()
    )
