"""One iteration of a run: self-play and learning, and the state they carry."""

import functools
import pathlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from alphallm import config as config_lib
from alphallm import judges, players, problems, selfplay, sharding
from alphallm.initialization import pretrained_policy
from alphallm.learning import (
  imitation,
  learner,
  objective,
  optimizer,
  replay,
)
from alphallm.models import transformer


@chex.dataclass(frozen=True)
class RunState:
  """All that a run carries from one iteration to the next.

  Attributes:
    learner: parameters, optimizer, average.
    slots: the problems under way.
    replay: the examples to learn from.
    credit: `[]` float32, steps of learning that new examples have paid for.
    reference: parameters of an earlier policy; () where none is referred to.
  """

  learner: learner.TrainState
  slots: selfplay.Slots
  replay: replay.Replay
  credit: chex.Array
  reference: Any


class Trainer:
  """The jitted programs of a run, and the state that they carry.

  Attributes:
    run: what it was made of.
    mesh: the devices that it is on, which may be absent ones as long as nothing
      is run.
    pretrained: the parameters of the run's pretrained model, where the first
      policy starts or the reference stays; `None` where neither needs them.
  """

  def __init__(self, run: config_lib.Run, mesh: jax.sharding.Mesh):
    self.run, self.mesh = run, mesh
    self.pretrained = None
    self._whole, self._slots = sharding.replicated(mesh), sharding.slots(mesh)
    self._batch = sharding.batch(mesh)
    for name, size, split in (
      ("selfplay.num_slots", run.selfplay.num_slots, self._slots),
      ("learner.batch_size", run.learner.batch_size, self._batch),
    ):
      parts = sharding.num_parts(split)
      if size % parts:
        raise config_lib.UserError(
          f"config.{name}={size} is no multiple of {parts}, the number of "
          "devices that it is split over"
        )
    self._tx = optimizer.make_tx(run.learner)
    self._payer = judges.Payer(run)
    self._player = players.Player(run)
    self._init_key, self._learn_key = jax.random.split(jax.random.key(run.seed))
    self.problems = problems.Problems(run, mesh)
    self._shapes = jax.eval_shape(
      self._init, self._init_key, self.problems.abstract()
    )
    self._places = self._shardings()
    self._play = sharding.shard_self_play(
      self._player,
      mesh,
      parts=run.mesh.parts((self._places.learner.params, self._whole)),
      donate_argnums=(1,),
    )
    self._learn = jax.jit(
      self._absorb_and_learn,
      donate_argnums=(0, 1, 2),
      out_shardings=(self._places.learner, *[self._whole] * 3),
    )

  def init(
    self, level: int | None = None, *, params: Any = None, iteration: int = 0
  ) -> RunState:
    """Return the state before the first iteration, on its shardings.

    Args:
      level: of the largest problems drawn; all levels if None.
      params: to begin with, after other stages; `None`: pretrained or random.
      iteration: iterations done in other stages.
    """
    rng_key = self._init_key
    if iteration:
      rng_key = jax.random.fold_in(rng_key, iteration)
    state = jax.jit(self._init, out_shardings=self._places)(
      sharding.put(rng_key, self._whole),
      self.problems.first(iteration, level),
      self.pretrained if params is None else params,
    )
    if not self.run.learner.worked or iteration:
      return state
    buffer, credit = self._imitate(state.replay)
    return state.replace(replay=buffer, credit=credit)

  def _imitate(self, buffer: replay.Replay):
    """Put worked answers into the buffer; return the steps that they pay for.

    They are drawn apart from the problems of self-play, by every process.
    """
    run = self.run
    rng = np.random.default_rng([run.seed, 0, run.learner.worked])
    drawn = run.task.draw_questions(rng, run.learner.worked, "train")
    episodes, solved = imitation.episodes(
      run.task, drawn, run.selfplay.num_targets
    )
    keep_key = jax.random.fold_in(self._init_key, 2)  # after the two of `_init`
    config = run.learner

    def keep(buffer, episodes, solved, rng_key):
      examples, keep = self._examples(
        *jax.tree.map(lambda x: x[:, None], (episodes, solved)), None, rng_key
      )
      buffer = replay.add(buffer, examples, keep)
      return buffer, buffer.added * config.reuse / config.batch_size

    return jax.jit(keep, out_shardings=self._whole)(
      buffer, *sharding.put((episodes, solved, keep_key), self._whole)
    )

  def load_pretrained(self, path: pathlib.Path) -> None:
    """Read the parameters of a pretrained model onto their shardings.

    Raises:
      UserError: if the files are damaged.
    """
    self.pretrained = pretrained_policy.load(
      path,
      self.run.model.config,
      sharding=lambda _: self._places.learner.params,
    )

  def abstract(self) -> RunState:
    """Return shapes and shardings of the state, for restoring."""
    return sharding.abstract(self._shapes, self._places)

  def programs(self) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return the programs `self_play` and `learn`, with abstract arguments."""
    state, moves = self.abstract(), self.run.selfplay.num_moves
    place = lambda sharding, tree: jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
    problems = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (x.shape[0], moves, *x.shape[1:]), x.dtype, sharding=x.sharding
      ),
      self.problems.abstract(),
    )
    guide, models = place(
      self._whole, (self._player.params, self._payer.params)
    )
    play = ((state.learner.params, guide), state.slots, problems)
    _, harvest = jax.eval_shape(self._play, *play)
    reference = state.reference if self.run.has_reference else None
    if self.run.refers_to_pretrained:
      reference = state.learner.params
    learn = (
      state.learner,
      state.replay,
      state.credit,
      place(self._slots, harvest),
      *place(self._whole, (self._learn_key, np.int32(0))),
      reference,
      models,
    )
    return {"self_play": (self._play, play), "learn": (self._learn, learn)}

  @functools.cached_property
  def _models(self) -> Any:
    """The parameters of the models that pay, on the devices."""
    return sharding.put(self._payer.params, self._whole)

  @functools.cached_property
  def _guide(self) -> Any:
    """The parameters of the model that guides the player, on the devices."""
    return sharding.put(self._player.params, self._whole)

  def _shardings(self) -> RunState:
    whole = jax.tree.map(lambda _: self._whole, self._shapes)
    split = lambda tree: sharding.state(
      tree, self.mesh, min_size=self.run.mesh.min_size
    )
    return whole.replace(
      learner=split(self._shapes.learner),
      reference=split(self._shapes.reference),
      slots=jax.tree.map(lambda _: self._slots, self._shapes.slots),
    )

  def _init(
    self, rng_key: chex.PRNGKey, first: Any, params: Any = None
  ) -> RunState:
    run = self.run
    params_key, slots_key = jax.random.split(rng_key)
    if params is None:
      params = transformer.init_params(run.model.config, params_key)
    slots = selfplay.start(
      run.task,
      run.selfplay,
      jax.random.split(slots_key, run.selfplay.num_slots),
      first,
    )
    shapes = jax.eval_shape(self._one_example, params, slots, first)
    example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    snapshots = run.has_reference and run.learner.reference_every
    return RunState(
      learner=learner.init(self._tx, params, run.learner.kl_weight),
      slots=slots,
      replay=replay.init(example, run.learner.capacity),
      credit=jnp.zeros(()),
      reference=jax.tree.map(jnp.copy, params) if snapshots else (),
    )

  def _one_example(self, params, slots, first):
    """Return an example of the kind that rounds bring; its shape counts."""
    run, nodes = self.run, None
    add_moves = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
    if run.objective.nodes:
      both = params, self._player.params
      nodes = self._player(both, slots, add_moves(first))[1].nodes
    examples, _ = self._examples(
      *add_moves((slots.trace.episode, slots.num_moves < 0)),
      nodes,
      self._init_key,
    )
    return jax.tree.map(lambda x: x[0], examples)

  def _examples(self, episodes, done, nodes, rng_key):
    setting = objective.Setting(
      discount=self.run.search.discount,
      group_size=max(self.run.selfplay.group_size, 1),
    )
    return self.run.objective.examples(episodes, done, nodes, rng_key, setting)

  def _absorb_and_learn(
    self, state, buffer, credit, harvest, rng_key, iteration, reference, models
  ):
    """Put the harvest into the buffer and take the steps that it pays for."""
    config, what = self.run.learner, self.run.objective
    rng_key = jax.random.fold_in(rng_key, iteration)
    keep_key, batch_key = jax.random.split(rng_key)
    paid = self._payer(models, harvest, state.params)
    examples, keep = self._examples(paid, harvest.done, harvest.nodes, keep_key)
    before = buffer.added
    buffer = replay.add(buffer, examples, keep, iteration)
    new = buffer.added - before
    if what.recall:
      recall = functools.partial(
        what.recall, self.run.model.apply, state.params
      )
      buffer = replay.complete(buffer, new, config.batch_size, recall)
    newest = None
    if config.max_age:
      newest = replay.num_since(buffer, iteration - config.max_age + 1)
    credit = credit + new * config.reuse / config.batch_size
    credit = jnp.minimum(credit, config.max_steps)
    ready = buffer.added >= config.min_examples
    if newest is not None:
      ready &= newest > 0
    num_steps = jnp.where(ready, jnp.floor(credit), 0.0).astype(jnp.int32)
    state, learned = learner.train_round(
      self.run.model.apply,
      self._tx,
      config,
      what,
      state,
      buffer,
      batch_key,
      num_steps,
      self._batch,
      self.run.task.augment if config.augment else None,
      reference,
      newest,
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
      "sample_age": replay.mean_age(buffer, iteration, newest),
      "solved": mean(paid.solved),
      "reward": mean(jnp.sum(paid.rewards, axis=-1)),
      "episode_steps": mean(paid.num_steps),
      "nodes": jnp.sum(harvest.cost.nodes),
      "tokens": jnp.sum(harvest.cost.decoded + harvest.cost.prefilled),
    }
    return state, buffer, credit - num_steps, scalars

  def iterate(self, state: RunState, iteration: int, level: int | None = None):
    """Play and learn once; nothing waits for the device.

    Args:
      state: before the iteration (donated).
      iteration: its number, from 0.
      level: of the largest problems drawn; all levels if None.

    Returns:
      The new state and the iteration's scalars, both still being computed.
    """
    played = self.problems.of_round(iteration, state.learner.params, level)
    every, reference = self.run.learner.reference_every, state.reference
    if every and iteration % every == 0:
      reference = jax.tree.map(jnp.copy, state.learner.params)
    both = state.learner.params, self._guide
    slots, harvest = self._play(both, state.slots, played)
    learned, buffer, credit, scalars = self._learn(
      state.learner,
      state.replay,
      state.credit,
      harvest,
      *sharding.put((self._learn_key, np.int32(iteration)), self._whole),
      self._reference(reference),
      self._models,
    )
    state = RunState(
      learner=learned,
      slots=slots,
      replay=buffer,
      credit=credit,
      reference=reference,
    )
    return state, scalars

  def _reference(self, snapshot):
    """Return the parameters that the loss refers to, None if to none."""
    if self.run.refers_to_pretrained:
      return self.pretrained
    return snapshot if self.run.has_reference else None
