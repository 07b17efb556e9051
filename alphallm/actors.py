"""Who plays for a learner: the same devices in turn, or others meanwhile.

On devices of their own (`config.mesh.actors`) the actors play the next rounds,
`config.selfplay.ahead` of them, while the learner learns from an earlier one;
every `push_every` iterations its weights are pushed to them. Which weights play
which round is told by the config alone, and the same on one mesh: nobody looks
at a clock, and each waits for the other's arrays only.
"""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import config as config_lib
from alphallm import players, problems, selfplay, sharding

# The largest level of the problems of a round, by its number; None: all levels.
Levels = Callable[[int], int | None]


@chex.dataclass(frozen=True)
class Policy:
  """Weights that play.

  Attributes:
    params: where they play; () where they are not remembered.
    iteration: `[]` int32, iterations of learning that they have seen.
  """

  params: Any
  iteration: chex.Array


@chex.dataclass(frozen=True)
class Round:
  """What was played and is to be learned from.

  Attributes:
    harvest: what it brought, where it is learned from.
    policy: that played it, its weights if `Actors.remembers`.
  """

  harvest: selfplay.Harvest
  policy: Policy


class Actors:
  """The program that plays, and what goes to and fro.

  Attributes:
    mesh: of the devices that play.
    player: whom the program asks.
    problems: that they attempt.
    play: the program, `((params, guide), slots, problems) -> (slots, harvest)`.
    remembers: whether a round is learned from by the weights that played it,
      which the learner has no more.
  """

  def __init__(
    self,
    run: config_lib.Run,
    mesh: jax.sharding.Mesh,
    learner_mesh: jax.sharding.Mesh,
  ):
    """Make the program.

    Args:
      run: of which they are a part.
      mesh: of the devices that play.
      learner_mesh: of those that learn: the same one, or others.

    Raises:
      UserError: as `players.Player`.
    """
    self.mesh, self.problems = mesh, problems.Problems(run, mesh)
    self._run, self._learner_mesh = run, learner_mesh
    self.player = players.Player(run)
    parts = run.parts(mesh)
    self.play = sharding.shard_self_play(
      self.player,
      mesh,
      parts=parts and (parts, sharding.replicated(mesh)),
      donate_argnums=(1,),
    )
    # A reward may be what the policy itself thinks of its steps.
    asks = run.objective.recall or run.reward != type(run.reward)()
    self.remembers = bool(run.selfplay.is_stale and asks)
    whole = lambda mesh: jax.jit(
      lambda tree: tree, out_shardings=sharding.replicated(mesh)
    )
    self._whole, self._learner_whole = whole(mesh), whole(learner_mesh)

  @property
  def are_apart(self) -> bool:
    """Whether they have devices of their own."""
    return self.mesh != self._learner_mesh

  @functools.cached_property
  def guide(self) -> Any:
    """The parameters of the model that guides them, on their devices."""
    return sharding.put(self.player.params, sharding.replicated(self.mesh))

  def arguments(self, params: Any, slots: selfplay.Slots) -> tuple[Any, ...]:
    """Return those of `play`, abstract.

    Args:
      params: the learner's, abstract.
      slots: abstract.
    """
    moves = self._run.selfplay.num_moves
    drawn = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (x.shape[0], moves, *x.shape[1:]), x.dtype, sharding=x.sharding
      ),
      self.problems.abstract(),
    )
    guide = _placed(self.player.params, sharding.replicated(self.mesh))
    return (self.abstract_policy(params).params, guide), slots, drawn

  def abstract_policy(self, params: Any) -> Policy:
    """Return what `push` does, abstract; `params` are."""
    if self.are_apart:
      params = _placed(params, sharding.replicated(self.mesh))
    number = jax.ShapeDtypeStruct((), jnp.int32)
    place = sharding.replicated(self._learner_mesh)
    return Policy(params=params, iteration=_placed(number, place))

  def abstract_round(self, params: Any, slots: selfplay.Slots) -> Round:
    """Return what `play_round` does, abstract; see `arguments`."""
    _, harvest = jax.eval_shape(self.play, *self.arguments(params, slots))
    place = sharding.slots(self.mesh)
    if self.are_apart:
      place = sharding.replicated(self._learner_mesh)
    policy = self.abstract_policy(params if self.remembers else ())
    return Round(harvest=_placed(harvest, place), policy=policy)

  def push(self, params: Any, iteration: int) -> Policy:
    """Return the learner's weights as those that play from now on.

    Args:
      params: that may be given away later.
      iteration: iterations that they have learned.
    """
    if self.are_apart:
      params = sharding.copied(self._learner_whole(params), self.mesh)
    elif self._run.selfplay.is_stale:
      params = jax.tree.map(jnp.copy, params)
    place = sharding.replicated(self._learner_mesh)
    return Policy(
      params=params, iteration=sharding.put(np.int32(iteration), place)
    )

  def play_round(
    self,
    policy: Policy,
    slots: selfplay.Slots,
    number: int,
    levels: Levels | None = None,
  ) -> tuple[selfplay.Slots, Round]:
    """Play a round; nothing waits for it.

    Args:
      policy: that plays.
      slots: the problems under way (donated).
      number: of the round, that of the iteration that learns from it.
      levels: of the problems drawn; all if None.
    """
    level = levels and levels(number)
    drawn = self.problems.of_round(number, policy.params, level)
    both = policy.params, self.guide
    slots, harvest = self.play(both, slots, drawn)
    if self.are_apart:
      harvest = sharding.copied(self._whole(harvest), self._learner_mesh)
    if not self.remembers:
      policy = policy.replace(params=())
    return slots, Round(harvest=harvest, policy=policy)

  def to_learner(self, policy: Policy) -> Policy:
    """Return a policy where it is learned."""
    if not self.are_apart:
      return policy
    params = sharding.copied(policy.params, self._learner_mesh)
    return policy.replace(params=params)


def _placed(tree: Any, place: jax.sharding.Sharding) -> Any:
  """Return the shapes of a tree with one sharding."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
  )
