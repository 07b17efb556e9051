"""Train a policy by self-play: search, learn, measure.

It begins with random weights, with those of `config.model.pretrained`, or with
those of a supervised phase, which comes first: see `alphallm.phases`.

python -m alphallm.train --config configs/quickstart.py --workdir DIR

The same command goes on with a run that was killed or stopped (SIGTERM and
SIGINT: after the iteration, saved; exit code 143 or 130).

It is given on every host of a pod, where all see the workdir; a signal to one
process stops them all. The hosts may be others, or more or fewer, when it goes
on.
"""

import dataclasses
import pathlib
import time

import jax
from absl import flags

from alphallm import (
  checkpoint,
  hosts,
  metrics,
  phases,
  profiling,
  program,
  sharding,
)
from alphallm import config as config_lib
from alphallm import measurement as measurement_lib
from alphallm import trainer as trainer_lib
from alphallm.learning import curriculum, stages

PROFILE = flags.DEFINE_integer(
  "profile",
  0,
  "Iterations to trace with jax.profiler, after the first of the process, into "
  "WORKDIR/profile (for TensorBoard, or Perfetto).",
  lower_bound=0,
)


def train(
  config, workdir: pathlib.Path, *, profile: int = 0
) -> dict[str, float]:
  """Run or resume a training, and return its last figures.

  Args:
    config: of the run.
    workdir: of the run, which all processes see.
    profile: iterations of which process 0 writes a trace.

  Returns:
    The share of held-out problems solved by `greedy` decoding and by
    `mcts_N`; `train_seconds` of self-play and learning and
    `compile_seconds`, in which a process compiled and took its first iteration;
    `nodes_per_second`, states that the network evaluated in self-play per
    `train_seconds`; `iterations` and `train_steps`.

  Raises:
    UserError: for a config that does not fit, another run's workdir, or a run
      that diverged.
    CheckpointError: if a checkpoint cannot be written or read.
    Stopped: after SIGTERM or SIGINT, once the iteration is saved.
  """
  program.refuse_another_run(workdir, config)
  begun = hosts.agreed(checkpoint.any_in(workdir / "checkpoints"))
  configs, runs = config_lib.make_stages(config, workdir if begun else None)
  path = stages.Stages(configs)
  run, (mesh, actors) = runs[-1], sharding.make_meshes(runs[-1].mesh)
  trainers = [trainer_lib.Trainer(run, mesh, actors) for run in runs]
  refers = any(stage.refers_to_pretrained for stage in runs)
  if run.pretrained and (refers or not begun):
    trainers[0].load_pretrained(run.pretrained)
    for trainer in trainers[1:]:
      trainer.pretrained = trainers[0].pretrained
  if not begun:
    program.claim(
      workdir,
      config,
      run.model,
      run.task.tokenizer,
      trainers[0].pretrained,
    )

  with (
    program.Stop() as stop,
    checkpoint.Checkpointer(
      workdir / "checkpoints", keep=2, best="greedy"
    ) as checkpointer,
  ):
    # The order of resuming:
    # 1. the stage that was under way,
    # 2. the last whole checkpoint, or a state made anew,
    # 3. what it says of the iteration, the time spent, figures and levels,
    # 4. the metrics up to there, the rest dropped.
    if begun:
      if configs:
        under_way = checkpointer.metadata()["stages"]
        path = dataclasses.replace(path, **under_way)
      restored = checkpointer.restore_newest_whole(
        trainers[path.present].abstract()
      )
      start, state = restored.step, restored.state
      spent, figures = restored.metadata["spent"], restored.metadata["figures"]
      course = _course(run, restored.metadata["schedule"])
      path = dataclasses.replace(path, **restored.metadata["stages"])
    else:
      course = _course(run, [])
      start, state = 0, trainers[0].init(course and course.level)
      if not refers:
        for trainer in trainers:
          trainer.pretrained = None  # its memory is needed
      spent = {"train_seconds": 0.0, "compile_seconds": 0.0, "nodes": 0.0}
      figures = {}
    total = run.train.num_iterations
    if not total:
      print("nothing is learned: the first policy is the last", flush=True)
    elif start >= total:
      print(
        f"{workdir} has been trained for {start} iterations: nothing to do for "
        f"config.train.num_iterations={total}",
        flush=True,
      )
    else:
      if begun:
        print(f"resumed {workdir} at iteration {start} of {total}", flush=True)
      size = sum(x.size for x in jax.tree.leaves(state.learner.params))
      print(
        f"training {run.task.name}, {size:,} parameters, on "
        f"{jax.device_count()} {jax.devices()[0].platform} device(s)"
        + (f", {actors.size} of which play" if actors is not mesh else "")
        + f", into {workdir}",
        flush=True,
      )
      with (
        metrics.MetricWriter(
          workdir, restored_step=start if begun else None
        ) as writer,
        profiling.Trace(workdir / "profile", start + 1, profile) as tracing,
      ):
        state, figures = _loop(
          trainers,
          path,
          stop,
          state,
          start,
          spent,
          figures,
          course,
          checkpointer,
          writer,
          hosts.Largest(mesh),
          tracing,
        )
  seconds = spent["train_seconds"]
  return figures | {
    "train_seconds": round(seconds, 1),
    "compile_seconds": round(spent["compile_seconds"], 1),
    "nodes_per_second": round(spent["nodes"] / seconds) if seconds else 0,
    "iterations": max(start, total),
    "train_steps": int(state.learner.step),
  }


def _course(run, schedule) -> curriculum.Curriculum | None:
  """Return the run's curriculum, None if it draws all levels from the start."""
  if not run.train.first_level:
    return None
  return curriculum.Curriculum(
    last=run.task.levels[-1],
    threshold=run.train.level_up,
    schedule=schedule or [[0, run.train.first_level]],
    ahead=run.selfplay.ahead,
  )


def _loop(
  trainers,
  path,
  stop,
  state,
  start,
  spent,
  figures,
  course,
  checkpointer,
  writer,
  largest,
  tracing,
):
  """Iterate from `start` to the end; add to `spent`.

  Returns:
    The last state and the last figures.
  """
  config = trainers[-1].run.train
  total = config.num_iterations
  measurement = measurement_lib.Measurement(trainers[-1].run, trainers[-1].mesh)
  trainer, compiled_at = trainers[path.present], {start + 1}
  progress = metrics.Progress(total, "training")
  began = time.monotonic()
  if start == 0:
    figures = measurement(state.learner.average)
    scalars = {f"test/{name}": value for name, value in figures.items()}
    writer.write(0, scalars | {"train_seconds": 0.0})
    print(f"before: {_words(figures)}", flush=True)
  unread = None

  def settle(iteration, scalars, extra):
    """Read the scalars of an iteration that was dispatched; check them."""
    scalars = {k: float(v) for k, v in jax.device_get(scalars).items()}
    program.refuse_nan(
      scalars,
      f"iteration {iteration}, step {scalars['train_steps']:.0f}",
      checkpointer,
      "config.learner.learning_rate",
    )
    if iteration not in compiled_at:
      spent["nodes"] += scalars["nodes"]
    if course:
      scalars["level"] = course.level(iteration - 1)
      course.record(iteration - 1, scalars["solved"])
    writer.write(iteration, scalars | extra)

  for iteration in range(start, total):
    tracing.before(iteration)
    wish = largest(stop.wanted or 0)
    with jax.transfer_guard("disallow"):
      state, scalars = trainer.iterate(
        state, iteration, course and course.level
      )
    done = iteration + 1
    if unread is not None:
      settle(*unread)
    unread = (done, scalars, {})
    if done in compiled_at:
      jax.block_until_ready(scalars)
      spent["compile_seconds"] += time.monotonic() - began
      began = time.monotonic()
    # A signal to one process alone waits for the next wish of all.
    wanted = int(wish) if jax.process_count() > 1 else stop.wanted
    stopping = wanted and done < total
    measures = done % config.evaluate_every == 0 or done == total
    saves = done % config.checkpoint_every == 0 or done == total or stopping
    if measures or saves or path.is_last(done):
      jax.block_until_ready(scalars)
      spent["train_seconds"] += time.monotonic() - began
      extra = {}
      if measures:
        figures = measurement(state.learner.average)
        extra = {f"test/{name}": value for name, value in figures.items()}
        extra["train_seconds"] = spent["train_seconds"]
      settle(done, scalars, extra)
      unread = None
      if path.record(done, figures["greedy"] if measures else None):
        trainer = trainers[path.present]
        compiled_at.add(done + 1)
        params = state.learner.params
        levels = course and course.level
        state = trainer.init(levels, params=params, iteration=done)
      if saves:
        checkpointer.save(
          done,
          state,
          metadata={
            "spent": dict(spent),
            "figures": figures,
            "schedule": course.schedule if course else [],
            "stages": path.metadata(),
          },
          metrics=figures if measures else None,
        )
      began = time.monotonic()
    progress.update(done, _words(figures))
    if stopping:
      checkpointer.wait()
      progress.close()
      raise program.Stopped(
        f"stopped by a signal, saved at iteration {done} of {total}; the same "
        "command goes on from there",
        wanted,
      )
  progress.close()
  return state, figures


def _words(figures: dict[str, float]) -> str:
  return ", ".join(f"{name} {value:.1%}" for name, value in figures.items())


def run(config, workdir: pathlib.Path, *, profile: int = 0) -> dict[str, float]:
  """Run the phases before, train, and write the summary; see `train`.

  Args:
    config: of the run, with its phases.
    workdir: where it is kept.
    profile: as of `train`.
  """
  plain = phases.prepare(config, workdir)
  figures = train(plain, workdir, profile=profile)
  metrics.write_summary(
    workdir,
    figures,
    program="train",
    config=config.to_dict(),
    seeds=[config.seed],
  )
  print(
    f"after {figures['train_seconds']:.0f} s of training: "
    + _words({k: v for k, v in figures.items() if k.startswith(("gr", "mcts"))})
    + f"; checkpoints and curves are in {workdir}"
  )
  return figures


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(program.WORKDIR.value)
  run(program.CONFIG.value, workdir, profile=PROFILE.value)


if __name__ == "__main__":
  program.run(main, on_hosts=True)
