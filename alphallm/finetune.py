"""Train a policy on documents, before any search: the first initialization.

python -m alphallm.finetune --config configs/countdown_traces.py --workdir DIR

Documents are thoughts of searchers, random legal steps, worked answers, or
records of text; see `config.data`. The same command goes on with a run that was
killed or stopped. The model that comes of it lies in DIR/model, in Hugging Face
form: `config.model.pretrained` of the other programs takes that folder.

On several hosts it is given as `alphallm.train` is. Each reads the documents of
its own rows, as far as `config.tuning.streams` parts them.
"""

import json
import pathlib
import shutil
import time

import jax

from alphallm import (
  checkpoint,
  hosts,
  metrics,
  models,
  program,
  sharding,
  tuning,
)
from alphallm import config as config_lib
from alphallm.initialization import packed, prefetch
from alphallm.tokenizer import folders

MODEL = "model"  # of a workdir, with what the run came to


def finetune(config, workdir: pathlib.Path) -> dict[str, float]:
  """Run or resume supervised learning, and return its last figures.

  Returns:
    The share of held-out problems solved by `greedy` decoding and by one
    `sampled` text, `validation_loss`, `train_seconds`, `tokens_per_second` of
    all tokens in rows, `waiting`, the share of these seconds in which input was
    waited for, and `train_steps`.

  Raises:
    UserError: for a config that does not fit, another run's workdir, or a run
      that diverged.
    CheckpointError: if a checkpoint cannot be written or read.
    Stopped: after SIGTERM or SIGINT, once the step is saved.
  """
  program.refuse_another_run(workdir, config)
  begun = hosts.agreed(checkpoint.any_in(workdir / "checkpoints"))
  run = tuning.make(config, workdir if begun else None)
  tuner = tuning.Tuner(run, sharding.make_mesh(run.mesh))
  pretrained = None
  if not begun:
    pretrained = tuner.load_pretrained() if run.pretrained else None
    program.claim(workdir, config, run.model, run.task.tokenizer, pretrained)
  with (
    program.Stop() as stop,
    checkpoint.Checkpointer(
      workdir / "checkpoints", keep=2, best="sampled"
    ) as checkpointer,
  ):
    # The order of resuming:
    # 1. the last whole checkpoint, or a state made anew,
    # 2. what it says of figures and time, and of the places in the documents,
    # 3. the metrics up to there, the rest dropped.
    if begun:
      restored = checkpointer.restore_newest_whole(
        {"learner": tuner.abstract()}
      )
      start, state = restored.step, restored.state["learner"]
      spent, figures = restored.metadata["spent"], restored.metadata["figures"]
      saved = map(packed.Place.from_json, restored.metadata["places"])
      places = dict(enumerate(saved))
    else:
      start, state, places = 0, tuner.init(pretrained), None
      spent, figures = {"seconds": 0.0, "waited": 0.0, "tokens": 0}, {}
    total = run.train.num_steps
    if start < total:
      size = sum(x.size for x in jax.tree.leaves(state.params))
      print(
        f"{'resumed at step ' + str(start) if begun else 'learning'} "
        f"{run.task.name}, {size:,} parameters, on {jax.device_count()} "
        f"{jax.devices()[0].platform} device(s), into {workdir}",
        flush=True,
      )
      with (
        metrics.MetricWriter(
          workdir, restored_step=start if begun else None
        ) as writer,
        prefetch.Prefetch(tuner.batches("train", places)) as stream,
      ):
        loop = _Loop(tuner, stop, checkpointer, writer, spent, figures)
        state = loop.run(state, start, stream)
        figures = loop.figures
    else:
      print(f"{workdir} has been trained for {start} steps: nothing to do")
  _export(workdir / MODEL, run, state.average)
  seconds = spent["seconds"]
  return figures | {
    "train_seconds": round(seconds, 1),
    "tokens_per_second": round(spent["tokens"] / seconds) if seconds else 0,
    "waiting": spent["waited"] / seconds if seconds else 0.0,
    "train_steps": max(start, total),
  }


class _Loop:
  """Steps, and what is written down on the way.

  Attributes:
    figures: the last that were measured.
  """

  def __init__(self, tuner, stop, checkpointer, writer, spent, figures):
    self._tuner, self._config = tuner, tuner.run.train
    self._stop, self._checkpointer, self._writer = stop, checkpointer, writer
    self._spent, self.figures = spent, figures
    self._measurement = tuning.Measurement(tuner.run, tuner.mesh)
    self._largest = hosts.Largest(tuner.mesh)
    validation = tuner.batches("test")
    self._validation = [
      next(validation)[0] for _ in range(self._config.validation_batches)
    ]

  def run(self, state, start: int, stream: prefetch.Prefetch):
    """Return the state after the last step."""
    config, spent = self._config, self._spent
    progress = metrics.Progress(config.num_steps, "learning")
    if start == 0:
      extra = self._measure(state)
      self._writer.write(0, extra | {"train_seconds": 0.0})
      print(f"before: {words(self.figures)}", flush=True)
    unread, before = [], self._largest(self._stop.wanted or 0)
    waited, began = stream.waited, time.monotonic()
    for done in range(start + 1, config.num_steps + 1):
      batch, places = next(stream)
      wish = self._largest(self._stop.wanted or 0)
      with jax.transfer_guard("disallow"):
        state, scalars = self._tuner.step(state, batch)
      unread.append((done, scalars))
      is_last = done == config.num_steps
      # A signal to one process alone waits for a wish of all that is known.
      wanted = int(before) if jax.process_count() > 1 else self._stop.wanted
      stopping, before = wanted and not is_last, wish
      if done % config.log_every and not (is_last or stopping):
        continue
      means = self._read(unread)
      unread = []
      seconds = time.monotonic() - began
      means["waiting"] = (stream.waited - waited) / seconds
      everywhere = _of_all(places)
      means["left_out"] = sum(place["left_out"] for place in everywhere)
      spent["seconds"] += seconds
      spent["waited"] += stream.waited - waited
      spent["tokens"] += means["tokens"]
      measures = done % config.evaluate_every == 0 or is_last
      extra = {"train_seconds": spent["seconds"]}
      extra |= self._measure(state) if measures else {}
      self._writer.write(done, means | extra)
      if done % config.checkpoint_every == 0 or is_last or stopping:
        self._save(done, state, everywhere, measures)
      progress.update(done, f"loss {means['loss']:.3f}, {words(self.figures)}")
      if stopping:
        self._checkpointer.wait()
        progress.close()
        raise program.Stopped(
          f"stopped by a signal, saved at step {done} of {config.num_steps}; "
          "the same command goes on from there",
          wanted,
        )
      waited, began = stream.waited, time.monotonic()
    progress.close()
    return state

  def _read(self, unread) -> dict[str, float]:
    """Return the means of the scalars of some steps, which must be finite."""
    rows = jax.device_get([scalars for _, scalars in unread])
    for (step, _), row in zip(unread, rows, strict=True):
      program.refuse_nan(
        row,
        f"step {step}",
        self._checkpointer,
        "config.tuning.learning_rate",
      )
    means = {
      name: float(sum(row[name] for row in rows) / len(rows))
      for name in rows[0]
    }
    shape = self._tuner.run.tuning
    places = shape.batch_size * shape.row_tokens
    means["tokens"] = round(sum(float(row["filled"]) for row in rows) * places)
    return means

  def _measure(self, state) -> dict[str, float]:
    """Measure anew; return the figures by their names in the metrics."""
    params = state.average
    self.figures = self._measurement(params) | {
      "validation_loss": self._tuner.validation_loss(params, self._validation)
    }
    return {f"test/{name}": value for name, value in self.figures.items()}

  def _save(self, step, state, places, measured) -> None:
    self._checkpointer.save(
      step,
      {"learner": state},
      metadata={
        "spent": dict(self._spent),
        "figures": self.figures,
        "places": places,
      },
      metrics=self.figures if measured else None,
    )


def _of_all(places: dict[int, packed.Place]) -> list[dict]:
  """Return the places of all streams, of which each process knows some."""
  known = {number: place.to_json() for number, place in places.items()}
  every = {}
  for text in hosts.texts(json.dumps(known)):
    every |= {int(number): place for number, place in json.loads(text).items()}
  return [every[number] for number in sorted(every)]


def words(figures: dict[str, float]) -> str:
  """Return the shares of problems solved, for a line of text."""
  shares = {k: v for k, v in figures.items() if k in ("greedy", "sampled")}
  return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def _export(folder: pathlib.Path, run: tuning.Tuning, params) -> None:
  """Write the model as `config.model.pretrained` takes it, anew.

  The first process does; the others wait for it.

  Raises:
    UserError: if no family of models is of this shape.
  """
  params = hosts.whole(params)
  if jax.process_index() == 0:
    shutil.rmtree(folder, ignore_errors=True)
    try:
      models.save(folder, run.model, params)
    except ValueError as error:
      raise config_lib.UserError(f"config.model: {error}") from error
    folders.save(run.task.tokenizer, folder)
  hosts.agreed(True)


def run(config, workdir: pathlib.Path) -> dict[str, float]:
  """Learn, and write the summary; see `finetune`."""
  figures = finetune(config, workdir)
  metrics.write_summary(
    workdir,
    figures,
    program="finetune",
    config=config.to_dict(),
    seeds=[config.seed],
  )
  print(
    f"after {figures['train_seconds']:.0f} s of learning: {words(figures)}; "
    f"the model is in {workdir / MODEL}, checkpoints and curves in {workdir}"
  )
  return figures


def main(argv) -> None:
  del argv
  run(program.CONFIG.value, pathlib.Path(program.WORKDIR.value))


if __name__ == "__main__":
  program.run(main, on_hosts=True)
