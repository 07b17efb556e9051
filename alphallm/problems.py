"""The problems that a run attempts: the same ones whenever it is run."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import config as config_lib
from alphallm import sharding
from alphallm.learning import curriculum
from alphallm.search import context


class Problems:
  """A stream of problems, put where they are attempted."""

  def __init__(self, run: config_lib.Run, mesh: jax.sharding.Mesh):
    self._run = run
    self._whole, self._split = sharding.replicated(mesh), sharding.batch(mesh)
    attempts = max(run.selfplay.group_size, 1)
    self._attempts, self._groups = attempts, run.selfplay.num_slots // attempts
    self._rng_key = jax.random.fold_in(jax.random.key(run.seed), 1 << 30)
    self._choices = jax.jit(self._choose, out_shardings=self._split)

  def first(self, iteration: int = 0, level: int | None = None) -> Any:
    """Return a problem for every slot, `[B, ...]`.

    Args:
      iteration: iterations done before.
      level: of the largest problems drawn; all levels if None.
    """
    drawn = self._draw(iteration, self._groups, level)
    return jax.device_put(self._repeat(drawn), self._split)

  def abstract(self) -> tuple[Any, Any]:
    """Return shapes and shardings of `first` and of `of_round`."""
    drawn = self._draw(0, 1, None)
    slots, moves = self._run.selfplay.num_slots, self._run.selfplay.num_moves
    like = lambda *lead: jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (*lead, *x.shape[1:]), x.dtype, sharding=self._split
      ),
      drawn,
    )
    return like(slots), like(slots, moves)

  def of_round(
    self, iteration: int, params: Any, level: int | None = None
  ) -> Any:
    """Return the next problems of every slot, `[B, num_moves, ...]`.

    Args:
      iteration: of the round, from 0.
      params: of the policy, by whose values of the problems these are chosen
        where more are drawn than attempted.
      level: of the largest problems drawn; all levels if None.
    """
    times, moves = self._run.train.oversample, self._run.selfplay.num_moves
    drawn = self._draw(iteration + 1, self._groups * moves * times, level)
    if times == 1:
      return jax.device_put(self._by_move(drawn), self._split)
    number = jax.device_put(np.int32(iteration), self._whole)
    drawn = jax.device_put(drawn, self._whole)
    return self._choices(params, drawn, number)

  def _draw(self, iteration: int, count: int, level: int | None):
    dial = {} if level is None else {"level": level}
    rng = np.random.default_rng([self._run.seed, iteration])
    return self._run.task.sample_numpy(rng, count, "train", **dial)

  def _repeat(self, problems):
    """Return problems of groups as those of their slots."""
    return jax.tree.map(lambda x: x.repeat(self._attempts, axis=0), problems)

  def _by_move(self, drawn):
    lead = self._groups, self._run.selfplay.num_moves
    return self._repeat(
      jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), drawn)
    )

  def _choose(self, params, drawn, iteration: chex.Array):
    """Return those of whose outcome the policy is unsure."""
    run = self._run
    read = jax.vmap(functools.partial(context.initial, run.task))(drawn)
    places = jnp.broadcast_to(
      jnp.arange(read.tokens.shape[1])[None], read.tokens.shape
    )
    output = run.model.apply(
      params,
      read.tokens[:, None],
      places[:, None],
      read=read.lengths[:, None, None] - 1,
    )
    chosen = curriculum.unsure(
      jax.nn.sigmoid(output.value_logits[:, 0, 0]),
      jax.random.fold_in(self._rng_key, iteration),
      self._groups * run.selfplay.num_moves,
    )
    return self._by_move(jax.tree.map(lambda x: x[chosen], drawn))
