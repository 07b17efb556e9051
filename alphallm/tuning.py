"""A supervised run: its parts from a config, its steps, what is measured."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from alphallm import config as config_lib
from alphallm import consistency, measure, search, sharding, tasks, values
from alphallm.initialization import (
  documents,
  packed,
  pretrained_policy,
  records,
  rules,
  traces,
)
from alphallm.learning import learner, optimizer, supervised
from alphallm.models import transformer
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class TuningConfig(optimizer.OptimizerConfig):
  """How the network learns from documents."""

  batch_size: int = 32  # rows
  row_tokens: int = 512  # places of a row, in which documents are packed
  streams: int = 1  # parts of the documents, each packed into rows of its own

  def __post_init__(self):
    super().__post_init__()
    if self.batch_size % self.streams:
      raise ValueError(
        f"batch_size={self.batch_size} is no multiple of streams={self.streams}"
      )


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
  """How long a run is, and what it does on the way."""

  num_steps: int = 10_000  # of the optimizer
  log_every: int = 20  # steps
  evaluate_every: int = 1_000  # steps, a multiple of log_every
  checkpoint_every: int = 1_000  # steps, a multiple of log_every
  num_eval_problems: int = 256  # held out, solved greedily and by a sample
  eval_batch_size: int = 256  # of these problems at a time
  validation_batches: int = 4

  def __post_init__(self):
    for name in ("evaluate_every", "checkpoint_every"):
      if getattr(self, name) % self.log_every:
        raise ValueError(
          f"{name}={getattr(self, name)} is no multiple of log_every="
          f"{self.log_every}"
        )


@dataclasses.dataclass(frozen=True)
class NoOptions:
  """Of a kind of data that has no options."""


@dataclasses.dataclass(frozen=True)
class Tuning:
  """The parts of a supervised run, made from its config.

  Attributes:
    seed: of all that is drawn.
    task: whose held-out problems are solved while it runs.
    model: that learns.
    data: the options of the documents; its type says of which kind they are.
    tuning: how it learns.
    train: for how long.
    mesh: on which devices.
    pretrained: where the first policy lies, if not random weights.
  """

  seed: int
  task: base.Task
  model: transformer.PolicyValueTransformer
  data: Any
  tuning: TuningConfig
  train: ScheduleConfig
  mesh: sharding.MeshConfig = sharding.MeshConfig()
  pretrained: pathlib.Path | None = None

  def source(self, split: base.Split) -> documents.Source:
    """Return the documents of a split; those of `test` are only measured on.

    Raises:
      UserError: if there are none.
    """
    seed = [self.seed, ("train", "test").index(split)]
    seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    try:
      return self._source(split, seed)
    except ValueError as error:
      raise values.UserError(f"config.data: {error}") from error

  def _source(self, split, seed) -> documents.Source:
    if isinstance(self.data, traces.TraceConfig):
      return traces.Traces(self.task, self.data, split, seed)
    if isinstance(self.data, records.RecordsConfig):
      return records.Records(self.data, self.task.tokenizer, split, seed)
    if isinstance(self.task, tasks.Questions):
      return records.WorkedAnswers(self.task, split, seed)
    solutions = None
    if isinstance(self.data, rules.SolutionsConfig):
      solutions = self.data
    return rules.RandomSteps(self.task, split, seed, solutions)


# What the kinds of `config.data` are made of.
_DATA = {
  "traces": traces.TraceConfig,
  "rules": NoOptions,
  "solutions": rules.SolutionsConfig,
  "worked": NoOptions,
  "records": records.RecordsConfig,
}
_NEEDS = {
  "traces": (tasks.Thoughts, "config.task.kind='Thoughts'"),
  "worked": (tasks.Questions, "a task with worked answers, such as Sums"),
}


def make(config: Any, workdir: pathlib.Path | None = None) -> Tuning:
  """Make the parts of a supervised run.

  Args:
    config: a ConfigDict, see `configs/countdown_traces.py`.
    workdir: if it holds a tokenizer or a pretrained model, that one is used.

  Raises:
    UserError: if a value is missing, unknown or out of range.
  """
  settings = config.to_dict()
  settings.setdefault("mesh", {})
  config_lib.check_rooms(settings, Tuning)
  options = dict(settings["data"])
  kind = options.pop("kind", None)
  if kind not in _DATA:
    raise values.UserError(
      f"config.data.kind={kind!r} is none of {', '.join(_DATA)}"
    )
  data = values.make(_DATA[kind], "data", options)
  vocabulary = getattr(data, "vocabulary", "")
  if vocabulary and "pretrained" in settings["model"]:
    raise values.UserError(
      f"config.data.vocabulary={vocabulary}: config.model.pretrained has one"
    )
  source, task, shape = config_lib.make_policy_parts(
    settings, workdir, pathlib.Path(vocabulary) if vocabulary else None
  )
  if kind in _NEEDS and not isinstance(task, _NEEDS[kind][0]):
    raise values.UserError(f"config.data.kind={kind!r} needs {_NEEDS[kind][1]}")
  if kind in ("rules", "solutions"):
    consistency.check_proposes(task, f"config.data.kind={kind!r}")
  mesh = values.make(sharding.MeshConfig, "mesh", settings["mesh"])
  if mesh.gather == "layer":
    raise values.UserError(
      "config.mesh.gather='layer' is of self-play; what learns alone keeps its "
      "parameters split anyhow, so give 'entry'"
    )
  model = transformer.PolicyValueTransformer(shape)
  options = values.make(TuningConfig, "tuning", settings["tuning"])
  consistency.check_scan(model, options.scan_layers, "config.tuning")
  return Tuning(
    seed=settings["seed"],
    task=task,
    model=model,
    data=data,
    tuning=options,
    train=values.make(ScheduleConfig, "train", settings["train"]),
    mesh=mesh,
    pretrained=source,
  )


class Tuner:
  """The jitted programs of a supervised run, and the state they carry."""

  def __init__(self, run: Tuning, mesh: jax.sharding.Mesh):
    self.run, self.mesh = run, mesh
    self._split, whole = sharding.batch(mesh), sharding.replicated(mesh)
    size, accumulate = run.tuning.batch_size, run.tuning.accumulate
    sharding.check_even("tuning.batch_size", size, self._split, accumulate)
    model = transformer.learning(run.model, run.tuning.scan_layers)
    self._apply = sharding.collecting(model, mesh, min_size=run.mesh.min_size)
    self._tx = optimizer.make_tx(run.tuning)
    self._init_key = sharding.put(jax.random.key(run.seed), whole)
    self._shapes = jax.eval_shape(self._init, self._init_key)
    self._places = sharding.state(
      self._shapes, mesh, min_size=run.mesh.min_size
    )
    self.step = jax.jit(
      functools.partial(
        supervised.train_step, self._apply, self._tx, run.tuning
      ),
      donate_argnums=(0,),
      out_shardings=(self._places, whole),
    )
    self._validate = jax.jit(
      functools.partial(supervised.next_token_loss, self._apply),
      out_shardings=whole,
    )

  def _init(self, rng_key, params=None) -> learner.TrainState:
    if params is None:
      params = transformer.init_params(self.run.model.config, rng_key)
    return learner.init(self._tx, params)

  def load_pretrained(self) -> Any:
    """Return the run's pretrained parameters on their shardings.

    Raises:
      UserError: if the files are damaged.
    """
    return pretrained_policy.load(
      self.run.pretrained,
      self.run.model.config,
      sharding=lambda _: self._places.params,
    )

  def init(self, params: Any = None) -> learner.TrainState:
    """Return the state before the first step; `params`: pretrained ones."""
    return jax.jit(self._init, out_shardings=self._places)(
      self._init_key, params
    )

  def abstract(self) -> learner.TrainState:
    """Return shapes and shardings of the state, for restoring."""
    return sharding.abstract(self._shapes, self._places)

  def batches(
    self, split: base.Split, places: Mapping[int, packed.Place] | None = None
  ):
    """Yield batches on the devices, and the places after each.

    The documents are parted in streams, whose rows are packed apart: a process
    reads those alone whose rows are on its devices, and the batches are the
    same for any number of processes.

    Args:
      split: of the documents.
      places: of each stream, by its number; `None`: their beginnings.

    Yields:
      A batch, and the places of the streams that this process reads.

    Raises:
      UserError: for a document that cannot be read, or if none fits.
    """
    tuning = self.run.tuning
    size, count = tuning.batch_size, tuning.streams
    rows, source = size // count, self.run.source(split)
    here = self._split.addressable_devices_indices_map((size,)).values()
    numbers = np.unique([np.arange(size)[at] // rows for (at,) in here])
    streams = {
      number: packed.batches(
        documents.Part(source, number, count),
        places[number] if places else packed.START,
        batch_size=rows,
        length=tuning.row_tokens,
      )
      for number in map(int, numbers)
    }

    def put(*parts):
      # By the rows of the batch, of which the others are not known here.
      known = np.zeros((size, *parts[0].shape[1:]), parts[0].dtype)
      for number, part in zip(streams, parts, strict=True):
        known[number * rows : (number + 1) * rows] = part
      return sharding.from_parts(known.shape, self._split, known.__getitem__)

    try:
      while True:
        read = [next(stream) for stream in streams.values()]
        after = {n: place for n, (_, place) in zip(streams, read, strict=True)}
        yield jax.tree.map(put, *[batch for batch, _ in read]), after
    except ValueError as error:
      raise values.UserError(f"config.data: {error}") from error

  def validation_loss(self, params: Any, batches: list[packed.Batch]) -> float:
    """Return the mean loss of the tokens of some batches."""
    scalars = [self._validate(params, batch)[1] for batch in batches]
    losses, tokens = (
      np.array([float(x[name]) for x in jax.device_get(scalars)])
      for name in ("loss", "learnt_tokens")
    )
    return float(np.sum(losses * tokens) / np.sum(tokens))


class Measurement:
  """The policy alone on held-out problems: greedy, and one sample of each."""

  def __init__(self, run: Tuning, mesh: jax.sharding.Mesh):
    self._run, self._mesh = run, mesh
    self._problems = measure.held_out(run.task, run.train.num_eval_problems)
    task = whole(run)
    self._solvers = {
      "greedy": measure.spread(search.greedy(run.model.apply, task), mesh),
      "sampled": measure.spread(search.sampling(run.model.apply, task), mesh),
    }

  def __call__(self, params: Any) -> dict[str, float]:
    """Return the share of problems solved, by method."""
    return {
      name: float(
        np.mean(
          measure.run(
            solve,
            params,
            jax.random.key(self._run.seed),
            self._problems,
            batch_size=self._run.train.eval_batch_size,
            mesh=self._mesh,
          ).solved
        )
      )
      for name, solve in self._solvers.items()
    }


def whole(run: Tuning) -> base.Task:
  """Return the task of a run, whole thoughts being its steps, if it has any."""
  if isinstance(run.task, tasks.Thoughts):
    return run.task.whole()
  return run.task
