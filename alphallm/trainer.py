"""One iteration of a run: self-play and learning, and the state they carry."""

import functools
import pathlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import actors as actors_lib
from alphallm import config as config_lib
from alphallm import lessons, selfplay, sharding
from alphallm.initialization import pretrained_policy
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
    reference: parameters of an earlier policy; () where none is referred to.
    policy: that plays; () where every iteration pushes its own.
    rounds: that were played and are not yet learned from, the oldest first.
  """

  learner: learner.TrainState
  slots: selfplay.Slots
  replay: replay.Replay
  credit: chex.Array
  reference: Any
  policy: actors_lib.Policy | tuple[()] = ()
  rounds: tuple[actors_lib.Round, ...] = ()


class Trainer:
  """The jitted programs of a run, and the state that they carry.

  Attributes:
    run: what it was made of.
    mesh: the devices that learn and measure, which may be absent ones as long
      as nothing is run.
    actors: who play, on these devices or on others.
    pretrained: the parameters of the run's pretrained model, where the first
      policy starts or the reference stays; `None` where neither needs them.
  """

  def __init__(
    self,
    run: config_lib.Run,
    mesh: jax.sharding.Mesh,
    actors_mesh: jax.sharding.Mesh | None = None,
  ):
    """Make the programs.

    Args:
      run: of the config.
      mesh: of the devices that learn.
      actors_mesh: of those that play; None: the same ones.
    """
    self.run, self.mesh = run, mesh
    self.pretrained = None
    actors_mesh = mesh if actors_mesh is None else actors_mesh
    self._whole, slots = sharding.replicated(mesh), sharding.slots(actors_mesh)
    batch = sharding.batch(mesh)
    size, accumulate = run.learner.batch_size, run.learner.accumulate
    sharding.check_even("selfplay.num_slots", run.selfplay.num_slots, slots)
    sharding.check_even("learner.batch_size", size, batch, accumulate)
    self.actors = actors_lib.Actors(run, actors_mesh, mesh)
    self._lessons = lessons.Lessons(run, batch, self.actors)
    self._init_key, self._learn_key = jax.random.split(jax.random.key(run.seed))
    self._shapes = self._abstract()
    self._places = self._shardings()
    self._learn = jax.jit(
      self._lessons.take,
      donate_argnums=(0, 1, 2),
      out_shardings=(self._places.learner, *[self._whole] * 3),
    )

  def init(
    self,
    levels: actors_lib.Levels | None = None,
    *,
    params: Any = None,
    iteration: int = 0,
  ) -> RunState:
    """Return the state before the first iteration, on its shardings.

    Args:
      levels: of the problems drawn; all if None.
      params: to begin with, after other stages; `None`: pretrained or random.
      iteration: iterations done in other stages.
    """
    rng_key = self._init_key
    if iteration:
      rng_key = jax.random.fold_in(rng_key, iteration)
    actors, play = self.actors, self.run.selfplay
    places = self._places.replace(slots=())
    state = jax.jit(self._init, out_shardings=places)(
      sharding.put(rng_key, self._whole),
      self.pretrained if params is None else params,
    )
    slots = jax.jit(self._first_slots, out_shardings=self._places.slots)(
      sharding.put(rng_key, sharding.replicated(actors.mesh)),
      actors.problems.first(iteration, levels and levels(iteration)),
    )
    policy, rounds = (), []
    if play.is_stale:
      policy = actors.push(state.learner.params, iteration)
    for number in range(iteration, iteration + play.ahead):
      slots, played = actors.play_round(policy, slots, number, levels)
      rounds.append(played)
    state = state.replace(
      slots=slots,
      policy=policy if play.push_every > 1 else (),
      rounds=tuple(rounds),
    )
    if not self.run.learner.worked or iteration:
      return state
    keep_key = jax.random.fold_in(self._init_key, 2)  # after those of `_init`
    buffer, credit = jax.jit(self._lessons.imitate, out_shardings=self._whole)(
      state.replay,
      *sharding.put((*self._lessons.worked(), keep_key), self._whole),
    )
    return state.replace(replay=buffer, credit=credit)

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
    actors, play = self.actors, self.run.selfplay
    state = sharding.abstract(self._shapes, self._places)
    if play.push_every > 1:
      state = state.replace(policy=actors.abstract_policy(state.learner.params))
    if play.ahead:
      played = actors.abstract_round(state.learner.params, state.slots)
      state = state.replace(rounds=(played,) * play.ahead)
    return state

  def programs(self) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return the programs `self_play` and `learn`, with abstract arguments."""
    state, actors = self.abstract(), self.actors
    place = lambda tree: jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._whole),
      tree,
    )
    play = actors.arguments(state.learner.params, state.slots)
    reference = state.reference if self.run.has_reference else None
    if self.run.refers_to_pretrained:
      reference = state.learner.params
    learn = (
      state.learner,
      state.replay,
      state.credit,
      actors.abstract_round(state.learner.params, state.slots),
      *place((self._learn_key, np.int32(0))),
      reference,
      place(self._lessons.models),
    )
    return {"self_play": (actors.play, play), "learn": (self._learn, learn)}

  @functools.cached_property
  def _models(self) -> Any:
    """The parameters of the models that pay, on the devices."""
    return sharding.put(self._lessons.models, self._whole)

  def _abstract(self) -> RunState:
    """Return the shapes of the state."""
    run, first = self.run, self.actors.problems.abstract()
    slots = jax.eval_shape(self._first_slots, self._init_key, first)
    params = jax.eval_shape(
      lambda key: transformer.init_params(run.model.config, key), self._init_key
    )
    self._example = jax.eval_shape(
      self._lessons.one_example, params, slots, first
    )
    return jax.eval_shape(self._init, self._init_key).replace(slots=slots)

  def _shardings(self) -> RunState:
    whole = jax.tree.map(lambda _: self._whole, self._shapes)
    split = lambda tree: sharding.state(
      tree, self.mesh, min_size=self.run.mesh.min_size
    )
    return whole.replace(
      learner=split(self._shapes.learner),
      reference=split(self._shapes.reference),
      slots=jax.tree.map(
        lambda _: sharding.slots(self.actors.mesh), self._shapes.slots
      ),
    )

  def _first_slots(self, rng_key: chex.PRNGKey, first: Any) -> selfplay.Slots:
    _, slots_key = jax.random.split(rng_key)
    num_slots = self.run.selfplay.num_slots
    return selfplay.start(
      self.run.task,
      self.run.selfplay,
      jax.random.split(slots_key, num_slots),
      first,
    )

  def _init(self, rng_key: chex.PRNGKey, params: Any = None) -> RunState:
    """Return the state without what is on the actors' devices."""
    run = self.run
    params_key, _ = jax.random.split(rng_key)
    if params is None:
      params = transformer.init_params(run.model.config, params_key)
    example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._example)
    snapshots = run.has_reference and run.learner.reference_every
    return RunState(
      learner=learner.init(self._lessons.tx, params, run.learner.kl_weight),
      slots=(),
      replay=replay.init(example, run.learner.capacity),
      credit=jnp.zeros(()),
      reference=jax.tree.map(jnp.copy, params) if snapshots else (),
    )

  def iterate(
    self,
    state: RunState,
    iteration: int,
    levels: actors_lib.Levels | None = None,
  ):
    """Play and learn once; nothing waits for the devices.

    Args:
      state: before the iteration (donated).
      iteration: its number, from 0.
      levels: of the problems drawn; all if None.

    Returns:
      The new state and the iteration's scalars, both still being computed.
    """
    actors, play = self.actors, self.run.selfplay
    policy = state.policy
    if iteration % play.push_every == 0:
      policy = actors.push(state.learner.params, iteration)
    slots, played = actors.play_round(
      policy, state.slots, iteration + play.ahead, levels
    )
    now, *rounds = *state.rounds, played
    every, reference = self.run.learner.reference_every, state.reference
    if every and iteration % every == 0:
      reference = jax.tree.map(jnp.copy, state.learner.params)
    learned, buffer, credit, scalars = self._learn(
      state.learner,
      state.replay,
      state.credit,
      now.replace(policy=actors.to_learner(now.policy)),
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
      policy=policy if play.push_every > 1 else (),
      rounds=tuple(rounds),
    )
    return state, scalars

  def _reference(self, snapshot):
    """Return the parameters that the loss refers to, None if to none."""
    if self.run.refers_to_pretrained:
      return self.pretrained
    return snapshot if self.run.has_reference else None
