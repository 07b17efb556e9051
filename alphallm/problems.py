"""The problems that a run attempts: the same ones whenever it is run."""

import functools
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm import config as config_lib
from alphallm import sharding
from alphallm.learning import curriculum
from alphallm.search import context

BLOCK = 512  # groups, or slots without groups, whose problems come together


class Problems:
  """A stream of problems, put where they are attempted.

  They are drawn in blocks of slots, each from a random stream of its own, so
  that a process draws what its own devices attempt and not much more, and the
  problems are the same for any number of processes.
  """

  def __init__(self, run: config_lib.Run, mesh: jax.sharding.Mesh):
    self._run, self._mesh = run, mesh
    self._attempts = max(run.selfplay.group_size, 1)
    self._groups = run.selfplay.num_slots // self._attempts
    self._rng_key = jax.random.fold_in(jax.random.key(run.seed), 1 << 30)
    self._choices = jax.jit(
      self._choose, out_shardings=sharding.slots(self._mesh)
    )

  def abstract(self) -> Any:
    """Return shapes and shardings of `first`."""
    drawn = self._draw(0, 0, None)
    split = sharding.slots(self._mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(
        (self._run.selfplay.num_slots, *x.shape[1:]), x.dtype, sharding=split
      ),
      drawn,
    )

  def first(self, iteration: int = 0, level: int | None = None) -> Any:
    """Return a problem for every slot, `[B, ...]`.

    Args:
      iteration: iterations done before.
      level: of the largest problems drawn; all levels if None.
    """
    return self._put(iteration, level)

  def of_round(
    self, iteration: int, params: Any, level: int | None = None
  ) -> Any:
    """Return the next problems of every slot, `[B, num_moves, ...]`.

    Args:
      iteration: of the round, from 0.
      params: of the policy, by whose values of the problems these are chosen
        where more are drawn than attempted: by all processes from all of them.
      level: of the largest problems drawn; all levels if None.
    """
    times, moves = self._run.train.oversample, self._run.selfplay.num_moves
    if times == 1:
      return self._put(iteration + 1, level, moves)
    blocks = range(-(-self._groups // BLOCK))
    drawn = [
      self._draw(iteration + 1, block, level, moves * times) for block in blocks
    ]
    drawn = jax.tree.map(
      lambda *parts: np.concatenate(parts).reshape(-1, *parts[0].shape[2:]),
      *drawn,
    )
    whole = sharding.replicated(self._mesh)
    drawn, number = sharding.put((drawn, np.int32(iteration)), whole)
    return self._choices(params, drawn, number)

  def _draw(self, iteration: int, block: int, level: int | None, *count: int):
    """Return problems of the groups of a block, `[groups, *count, ...]`."""
    lead = min(BLOCK, self._groups - block * BLOCK), *count
    dial = {} if level is None else {"level": level}
    rng = np.random.default_rng([self._run.seed, iteration, 0, block])
    drawn = self._run.task.sample_numpy(rng, math.prod(lead), "train", **dial)
    return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), drawn)

  def _put(self, iteration: int, level: int | None, *count: int):
    """Return problems of all slots, `[B, *count, ...]`, and draw what is here.

    That is, the blocks of the slots on devices of this process.
    """
    num_slots, split = self._run.selfplay.num_slots, sharding.slots(self._mesh)
    groups = np.arange(num_slots) // self._attempts
    here = split.addressable_devices_indices_map((num_slots,)).values()
    blocks = np.unique([groups[slots] // BLOCK for (slots,) in here])
    drawn = [self._draw(iteration, block, level, *count) for block in blocks]
    rows = np.searchsorted(blocks, groups // BLOCK) * BLOCK + groups % BLOCK

    def put(*parts):
      known = np.concatenate(parts)
      return sharding.from_parts(
        (num_slots, *known.shape[1:]), split, lambda at: known[rows[at[0]]]
      )

    return jax.tree.map(put, *drawn)

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
    lead = self._groups, run.selfplay.num_moves
    return jax.tree.map(
      lambda x: (
        x[chosen].reshape(*lead, *x.shape[1:]).repeat(self._attempts, axis=0)
      ),
      drawn,
    )
