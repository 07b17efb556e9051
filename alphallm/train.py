"""Train a policy by self-play, from random weights: search, learn, measure.

python -m alphallm.train --config configs/quickstart.py --workdir DIR

The same command goes on with a run that was killed or stopped (SIGTERM and
SIGINT: after the iteration, saved; exit code 143 or 130).
"""

import functools
import json
import math
import os
import pathlib
import signal
import time
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from alphallm import (
  checkpoint,
  measure,
  metrics,
  program,
  selfplay,
  sharding,
)
from alphallm import (
  config as config_lib,
)
from alphallm.learning import learner, replay
from alphallm.models import transformer


@chex.dataclass(frozen=True)
class RunState:
  """All that a run carries from one iteration to the next.

  Attributes:
    learner: parameters, optimizer, average.
    slots: the problems under way.
    replay: the examples to learn from.
    credit: `[]` float32, steps of learning that new examples have paid for.
  """

  learner: learner.TrainState
  slots: selfplay.Slots
  replay: replay.Replay
  credit: chex.Array


class Trainer:
  """The jitted programs of a run, and the state that they carry."""

  def __init__(self, run: config_lib.Run, mesh: jax.sharding.Mesh):
    devices = mesh.shape["data"]
    for name, size in (
      ("selfplay.num_slots", run.selfplay.num_slots),
      ("learner.batch_size", run.learner.batch_size),
    ):
      if size % devices:
        raise config_lib.UserError(
          f"config.{name}={size} is no multiple of the {devices} devices"
        )
    self.run, self._mesh = run, mesh
    self._whole, self._split = sharding.replicated(mesh), sharding.batch(mesh)
    self._tx = learner.make_tx(run.learner)
    self._play = sharding.shard_self_play(
      functools.partial(
        selfplay.play_round, run.model.apply, run.task, run.selfplay, run.search
      ),
      mesh,
      donate_argnums=(1,),
    )
    self._init_key, self._learn_key = jax.random.split(jax.random.key(run.seed))
    self._shapes = jax.eval_shape(self._init, self._init_key, self.problems(0))
    self._places = self._shardings()
    self._learn = jax.jit(
      self._absorb_and_learn,
      donate_argnums=(0, 1, 2),
      out_shardings=(self._places.learner, *[self._whole] * 3),
    )

  def problems(self, iteration: int, moves: int | None = None):
    """Draw the problems of an iteration: the same ones whenever it is run."""
    slots = self.run.selfplay.num_slots
    rng = np.random.default_rng([self.run.seed, iteration])
    count = slots * (moves or 1)
    drawn = self.run.task.sample_numpy(rng, count, "train")
    if moves is not None:
      drawn = jax.tree.map(
        lambda x: x.reshape(slots, moves, *x.shape[1:]), drawn
      )
    return jax.device_put(drawn, self._split)

  def init(self) -> RunState:
    """Return the state before the first iteration, on its shardings."""
    return jax.jit(self._init, out_shardings=self._places)(
      self._init_key, self.problems(0)
    )

  def abstract(self) -> RunState:
    """Return shapes and shardings of the state, for restoring."""
    return jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      self._shapes,
      self._places,
    )

  def _shardings(self) -> RunState:
    whole = jax.tree.map(lambda _: self._whole, self._shapes)
    split = jax.tree.map(lambda _: self._split, self._shapes.slots)
    if self.run.train.fsdp:
      whole = whole.replace(
        learner=sharding.fsdp(self._shapes.learner, self._mesh)
      )
    return whole.replace(slots=split)

  def _init(self, rng_key: chex.PRNGKey, problems: Any) -> RunState:
    run = self.run
    params_key, slots_key = jax.random.split(rng_key)
    params = transformer.init_params(run.model.config, params_key)
    slots = selfplay.start(
      run.task,
      run.selfplay,
      jax.random.split(slots_key, run.selfplay.num_slots),
      problems,
    )
    one = jax.tree.map(lambda x: x[:1], slots.trace.episode)
    examples, _ = self._examples(one, jnp.zeros((1,), bool), rng_key)
    example = jax.tree.map(lambda x: x[0], examples)
    return RunState(
      learner=learner.init(self._tx, params),
      slots=slots,
      replay=replay.init(example, run.learner.capacity),
      credit=jnp.zeros(()),
    )

  def _examples(self, episodes, done, rng_key):
    return replay.to_examples(
      episodes,
      done,
      rng_key,
      discount=self.run.search.discount,
      learn_from=self.run.learner.learn_from,
      failure_share=self.run.learner.failure_share,
    )

  def _absorb_and_learn(self, state, buffer, credit, harvest, iteration):
    """Put the harvest into the buffer and take the steps that it pays for."""
    config = self.run.learner
    rng_key = jax.random.fold_in(self._learn_key, iteration)
    keep_key, batch_key = jax.random.split(rng_key)
    examples, keep = self._examples(harvest.episodes, harvest.done, keep_key)
    before = buffer.added
    buffer = replay.add(buffer, examples, keep)
    new = buffer.added - before
    credit = credit + new * config.reuse / config.batch_size
    ready = buffer.added >= config.min_examples
    num_steps = jnp.where(ready, jnp.floor(credit), 0.0).astype(jnp.int32)
    state, learned = learner.train_round(
      self.run.model.apply,
      self._tx,
      config,
      state,
      buffer,
      batch_key,
      num_steps,
      self._split,
    )
    done = harvest.done
    episodes = jnp.maximum(jnp.sum(done), 1)
    mean = lambda x: jnp.sum(jnp.where(done, x, 0)) / episodes
    scalars = {
      **learned,
      "param_norm": optax.tree.norm(state.params),
      "train_steps": state.step,
      "episodes": jnp.sum(done),
      "examples": buffer.added,
      "solved": mean(harvest.episodes.solved),
      "episode_steps": mean(harvest.episodes.num_steps),
      "nodes": jnp.sum(harvest.cost.nodes),
      "tokens": jnp.sum(harvest.cost.decoded + harvest.cost.prefilled),
    }
    return state, buffer, credit - num_steps, scalars

  def iterate(self, state: RunState, iteration: int):
    """Play and learn once; nothing waits for the device.

    Returns:
      The new state and the iteration's scalars, both still being computed.
    """
    problems = self.problems(iteration + 1, self.run.selfplay.num_moves)
    slots, harvest = self._play(state.learner.params, state.slots, problems)
    learned, buffer, credit, scalars = self._learn(
      state.learner,
      state.replay,
      state.credit,
      harvest,
      jax.device_put(np.int32(iteration), self._whole),
    )
    state = RunState(learner=learned, slots=slots, replay=buffer, credit=credit)
    return state, scalars


class Measurement:
  """Greedy decoding and tree search on a fixed set of held-out problems."""

  def __init__(self, run: config_lib.Run):
    self._rng_key = jax.random.key(run.seed)
    self._problems = run.task.sample_numpy(
      np.random.default_rng(0), run.train.num_eval_problems, "test"
    )
    n = run.train.eval_simulations
    searches = {
      "greedy": config_lib.GREEDY,
      f"mcts_{n}": config_lib.for_evaluation(run, n),
    }
    self._solvers = {
      name: measure.solver(run.model.apply, run.task, search)
      for name, search in searches.items()
    }

  def __call__(self, params) -> dict[str, float]:
    """Return the share of problems solved, by method."""
    results = {}
    for name, solve in self._solvers.items():
      result = measure.run(solve, params, self._rng_key, self._problems)
      results[name] = float(np.mean(result.solved))
    return results


class _Stop:
  """Turns SIGTERM and SIGINT into a wish to stop after this iteration.

  Attributes:
    wanted: the signal's number, None before one came.
  """

  def __init__(self):
    self.wanted: int | None = None
    self._handlers = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._handlers[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *unused):
    for number, handler in self._handlers.items():
      signal.signal(number, handler)

  def _handle(self, number, frame):
    del frame
    if self.wanted and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.wanted = number
    # Not by `print`, which the signal may have interrupted.
    os.write(2, b"stopping after this iteration\n")


def _has_checkpoints(workdir: pathlib.Path) -> bool:
  return any(p.name.isdecimal() for p in workdir.glob("checkpoints/*"))


def _refuse_another_run(workdir: pathlib.Path, config) -> None:
  """Raise if the workdir holds checkpoints of a run of another config."""
  path = workdir / "config.json"
  if not (_has_checkpoints(workdir) and path.exists()):
    return
  try:
    theirs = json.loads(path.read_text())["fingerprint"]
  except (ValueError, KeyError, TypeError) as error:
    raise config_lib.UserError(f"{path} is damaged; delete it") from error
  if theirs != config_lib.fingerprint(config):
    raise config_lib.UserError(
      f"{workdir} holds a run of another config (see {path}); give another "
      "--workdir, or the config of that run"
    )


def _claim(workdir: pathlib.Path, config, task) -> None:
  """Note in the workdir what its run is made of."""
  record = {
    "fingerprint": config_lib.fingerprint(config),
    "config": config.to_dict(),
  }
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    task.tokenizer.save(workdir / "tokenizer.model")
    (workdir / "config.json").write_text(json.dumps(record, indent=1))
  except OSError as error:
    raise config_lib.UserError(
      f"--workdir={workdir} cannot be written ({error.strerror}); give another"
    ) from error


def train(config, workdir: pathlib.Path) -> dict[str, float]:
  """Run or resume a training, and return its last figures.

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
  _refuse_another_run(workdir, config)
  begun = _has_checkpoints(workdir)
  run = config_lib.make_run(config, workdir if begun else None)
  trainer = Trainer(run, sharding.make_mesh())
  if not begun:
    _claim(workdir, config, run.task)

  with (
    _Stop() as stop,
    checkpoint.Checkpointer(
      workdir / "checkpoints", keep=2, best="greedy"
    ) as checkpointer,
  ):
    # The order of resuming:
    # 1. the last whole checkpoint, or a state made anew,
    # 2. what it says of the iteration, of the time spent and of the figures,
    # 3. the metrics up to there, the rest dropped.
    if begun:
      restored = checkpointer.restore_newest_whole(trainer.abstract())
      start, state = restored.step, restored.state
      spent, figures = restored.metadata["spent"], restored.metadata["figures"]
    else:
      start, state = 0, trainer.init()
      spent = {"train_seconds": 0.0, "compile_seconds": 0.0, "nodes": 0.0}
      figures = {}
    total = run.train.num_iterations
    if start >= total:
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
        f"{jax.device_count()} {jax.devices()[0].platform} device(s), into "
        f"{workdir}",
        flush=True,
      )
      with metrics.MetricWriter(
        workdir, restored_step=start if begun else None
      ) as writer:
        state, figures = _loop(
          trainer, stop, state, start, spent, figures, checkpointer, writer
        )
  seconds = spent["train_seconds"]
  return figures | {
    "train_seconds": round(seconds, 1),
    "compile_seconds": round(spent["compile_seconds"], 1),
    "nodes_per_second": round(spent["nodes"] / seconds) if seconds else 0,
    "iterations": max(start, total),
    "train_steps": int(state.learner.step),
  }


def _loop(trainer, stop, state, start, spent, figures, checkpointer, writer):
  """Iterate from `start` to the end; add to `spent`.

  Returns:
    The last state and the last figures.
  """
  config = trainer.run.train
  total = config.num_iterations
  measurement = Measurement(trainer.run)
  progress = metrics.Progress(total - start, "training")
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
    odd = [k for k, v in scalars.items() if not math.isfinite(v)]
    if odd:
      checkpointer.wait()
      kept = checkpointer.latest_step()
      raise config_lib.UserError(
        f"{odd[0]} is {scalars[odd[0]]} at iteration {iteration}, step "
        f"{scalars['train_steps']:.0f}; "
        + (f"checkpoint {kept} is kept" if kept else "nothing was saved")
        + ": train into another --workdir with a lower "
        "config.learner.learning_rate"
      )
    if iteration > start + 1:
      spent["nodes"] += scalars["nodes"]
    writer.write(iteration, scalars | extra)

  for iteration in range(start, total):
    with jax.transfer_guard("disallow"):
      state, scalars = trainer.iterate(state, iteration)
    done = iteration + 1
    if unread is not None:
      settle(*unread)
    unread = (done, scalars, {})
    if done == start + 1:  # compiled
      jax.block_until_ready(scalars)
      spent["compile_seconds"] += time.monotonic() - began
      began = time.monotonic()
    stopping = stop.wanted and done < total
    measures = done % config.evaluate_every == 0 or done == total
    saves = done % config.checkpoint_every == 0 or done == total or stopping
    if measures or saves:
      jax.block_until_ready(scalars)
      spent["train_seconds"] += time.monotonic() - began
      extra = {}
      if measures:
        figures = measurement(state.learner.average)
        extra = {f"test/{name}": value for name, value in figures.items()}
        extra["train_seconds"] = spent["train_seconds"]
      settle(done, scalars, extra)
      unread = None
      if saves:
        checkpointer.save(
          done,
          state,
          metadata={"spent": dict(spent), "figures": figures},
          metrics=figures if measures else None,
        )
      began = time.monotonic()
    progress.update(done - start, _words(figures))
    if stopping:
      checkpointer.wait()
      progress.close()
      raise program.Stopped(
        f"stopped by a signal, saved at iteration {done} of {total}; the same "
        "command goes on from there",
        stop.wanted,
      )
  progress.close()
  return state, figures


def _words(figures: dict[str, float]) -> str:
  return ", ".join(f"{name} {value:.1%}" for name, value in figures.items())


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(program.WORKDIR.value)
  figures = train(program.CONFIG.value, workdir)
  metrics.write_summary(
    workdir,
    figures,
    program="train",
    config=program.CONFIG.value.to_dict(),
    seeds=[program.CONFIG.value.seed],
  )
  print(
    f"after {figures['train_seconds']:.0f} s of training: "
    + _words({k: v for k, v in figures.items() if k.startswith(("gr", "mcts"))})
    + f"; checkpoints and curves are in {workdir}"
  )


if __name__ == "__main__":
  program.run(main)
