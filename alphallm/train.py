"""Train a policy by self-play, from random weights: search, learn, measure.

python -m alphallm.train --config configs/quickstart.py --workdir runs/quickstart
"""

import functools
import json
import math
import pathlib
import signal
import time
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

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

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept.")


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
    self.run = run
    self._whole, self._split = sharding.replicated(mesh), sharding.batch(mesh)
    self._tx = learner.make_tx(run.learner)
    self._play = sharding.shard_self_play(
      functools.partial(
        selfplay.play_round, run.model.apply, run.task, run.selfplay, run.search
      ),
      mesh,
      donate_argnums=(1,),
    )
    self._learn = jax.jit(self._absorb_and_learn, donate_argnums=(0, 1, 2))
    self._root_key = jax.random.key(run.seed)

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
    return jax.jit(self._init, out_shardings=self._shardings())(
      self._root_key, self.problems(0)
    )

  def abstract(self) -> RunState:
    """Return shapes and shardings of the state, for restoring."""
    shapes = jax.eval_shape(self._init, self._root_key, self.problems(0))
    return jax.tree.map(
      lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
      shapes,
      self._shardings(),
    )

  def _shardings(self) -> RunState:
    shapes = jax.eval_shape(self._init, self._root_key, self.problems(0))
    whole = jax.tree.map(lambda _: self._whole, shapes)
    split = jax.tree.map(lambda _: self._split, shapes.slots)
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
    examples, _ = self._examples(one, jnp.zeros((1,), bool))
    example = jax.tree.map(lambda x: x[0], examples)
    return RunState(
      learner=learner.init(self._tx, params),
      slots=slots,
      replay=replay.init(example, run.learner.capacity),
      credit=jnp.zeros(()),
    )

  def _examples(self, episodes, done):
    return replay.to_examples(
      episodes,
      done,
      discount=self.run.search.discount,
      learn_from_failures=self.run.learner.learn_from_failures,
    )

  def _absorb_and_learn(self, state, buffer, credit, harvest, rng_key):
    """Put the harvest into the buffer and take the steps that it pays for."""
    config = self.run.learner
    examples, keep = self._examples(harvest.episodes, harvest.done)
    before = buffer.added
    buffer = replay.add(buffer, examples, keep)
    new = buffer.added - before
    credit = credit + new * config.reuse / config.batch_size
    ready = buffer.added >= config.min_examples
    num_steps = jnp.where(ready, jnp.floor(credit), 0.0).astype(jnp.int32)
    state, learned = learner.train_round(
      self.run.model.apply, self._tx, config, state, buffer, rng_key, num_steps
    )
    done = harvest.done
    episodes = jnp.maximum(jnp.sum(done), 1)
    mean = lambda x: jnp.sum(jnp.where(done, x, 0)) / episodes
    scalars = {
      **learned,
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
    key = jax.random.fold_in(self._root_key, iteration)
    learned, buffer, credit, scalars = self._learn(
      state.learner, state.replay, state.credit, harvest, key
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
  """Turns SIGTERM and SIGINT into a wish to stop after this iteration."""

  def __init__(self):
    self.wanted = False
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._handle)

  def _handle(self, number, frame):
    del frame
    if self.wanted and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.wanted = True


def _check_workdir(workdir: pathlib.Path, config) -> None:
  """Note the run's config in its workdir, or refuse another run's workdir."""
  path = workdir / "config.json"
  mine = config_lib.fingerprint(config)
  if path.exists():
    try:
      theirs = json.loads(path.read_text())["fingerprint"]
    except (json.JSONDecodeError, KeyError) as error:
      raise config_lib.UserError(f"{path} is damaged; delete it") from error
    if theirs != mine:
      raise config_lib.UserError(
        f"{workdir} holds a run of another config (see {path}); give another "
        "--workdir, or the config of that run"
      )
    return
  workdir.mkdir(parents=True, exist_ok=True)
  record = {"fingerprint": mine, "config": config.to_dict()}
  path.write_text(json.dumps(record, indent=1))


def train(config, workdir: pathlib.Path) -> dict[str, float]:
  """Run or resume a training, and return its last figures.

  Raises:
    UserError: for a config that does not fit, or another run's workdir.
    CheckpointError: if a checkpoint cannot be written or read.
  """
  _check_workdir(workdir, config)
  run = config_lib.make_run(config, workdir)
  run.task.tokenizer.save(workdir / "tokenizer.model")
  trainer = Trainer(run, sharding.make_mesh())
  measurement = Measurement(run)
  stop = _Stop()
  total = run.train.num_iterations

  with checkpoint.Checkpointer(
    workdir / "checkpoints", keep=2, best="greedy"
  ) as checkpointer:
    # The order of resuming:
    # 1. the last whole checkpoint, or a state made anew,
    # 2. what it says of the iteration and of the seconds spent,
    # 3. the metrics up to there, the rest dropped.
    if checkpointer.latest_step() is None:
      start, spent, state = 0, {"train": 0.0, "compile": 0.0}, trainer.init()
    else:
      restored = checkpointer.restore_newest_whole(trainer.abstract())
      start, state = restored.step, restored.state
      spent = dict(restored.metadata["seconds"])
      print(f"resumed {workdir} at iteration {start} of {total}", flush=True)
    writer = metrics.MetricWriter(
      workdir, restored_step=start if start else None
    )
    size = sum(x.size for x in jax.tree.leaves(state.learner.params))
    print(
      f"training {run.task.name}, {size:,} parameters, on {jax.device_count()} "
      f"{jax.devices()[0].platform} device(s), into {workdir}",
      flush=True,
    )
    figures = _loop(
      run, trainer, measurement, stop, state, start, spent, checkpointer, writer
    )
    writer.close()
  return figures


def _loop(
  run, trainer, measurement, stop, state, start, spent, checkpointer, writer
):
  total = run.train.num_iterations
  progress = metrics.Progress(total - start, "training")
  figures: dict[str, float] = {}
  if start == 0:
    began = time.monotonic()
    figures = measurement(state.learner.average)
    spent["compile"] += time.monotonic() - began
    writer.write(0, {f"test/{k}": v for k, v in figures.items()})
    print(f"before: {_words(figures)}", flush=True)
  nodes, pending = 0, None
  began = time.monotonic()

  def settle(pending):
    """Read the scalars of an iteration that has been dispatched; check them."""
    iteration, scalars, extra = pending
    scalars = {k: float(v) for k, v in jax.device_get(scalars).items()}
    if not math.isfinite(scalars["loss"]):
      raise config_lib.UserError(
        f"the loss is {scalars['loss']} at iteration {iteration} (step "
        f"{scalars['train_steps']:.0f}); the checkpoint before it is kept: lower "
        "learner.learning_rate and resume"
      )
    writer.write(iteration, scalars | extra)
    return scalars

  for iteration in range(start, total):
    state, scalars = trainer.iterate(state, iteration)
    done = iteration + 1
    if iteration == start:  # compiles
      jax.block_until_ready(scalars)
      spent["compile"] += time.monotonic() - began
      began = time.monotonic()
    if pending is not None:
      nodes += settle(pending)["nodes"]
    pending = (done, scalars, {})
    stopping = stop.wanted and done < total
    measures = done % run.train.evaluate_every == 0 or done == total
    saves = done % run.train.checkpoint_every == 0 or measures and done == total
    saves = saves or stopping
    if measures or saves:
      jax.block_until_ready(scalars)
      spent["train"] += time.monotonic() - began
      if measures:
        figures = measurement(state.learner.average)
        extra = {f"test/{k}": v for k, v in figures.items()}
        pending = (done, scalars, extra | {"train_seconds": spent["train"]})
      nodes += settle(pending)["nodes"]
      pending = None
      if saves:
        checkpointer.save(
          done,
          state,
          metadata={"seconds": spent},
          metrics=figures if measures else None,
        )
      began = time.monotonic()
    progress.update(done - start, _words(figures))
    if stopping:
      checkpointer.wait()
      raise config_lib.UserError(
        f"stopped by a signal at iteration {done} of {total}; the same command "
        "goes on from there"
      )
  progress.close()
  return figures | {
    "train_seconds": round(spent["train"], 1),
    "compile_seconds": round(spent["compile"], 1),
    "iterations": total,
    "train_steps": int(state.learner.step),
  }


def _words(figures: dict[str, float]) -> str:
  return ", ".join(f"{name} {value:.1%}" for name, value in figures.items())


def main(argv) -> None:
  del argv
  workdir = pathlib.Path(_WORKDIR.value)
  figures = train(_CONFIG.value, workdir)
  metrics.write_summary(
    workdir,
    figures,
    program="train",
    config=_CONFIG.value.to_dict(),
    seeds=[_CONFIG.value.seed],
  )
  print(
    f"after {figures['train_seconds']:.0f} s of training: "
    + _words({k: v for k, v in figures.items() if k.startswith(("gr", "mcts"))})
    + f"; checkpoints and curves are in {workdir}"
  )


if __name__ == "__main__":
  program.run(main, required=("config", "workdir"))
