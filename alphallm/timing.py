"""The programs of a run, timed on the devices at hand."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alphallm import measure, sharding
from alphallm import trainer as trainer_lib

_TIMES = 3  # that a program runs, after once to warm up


def run(
  name: str,
  trainer: trainer_lib.Trainer,
  arguments: tuple[Any, ...],
  made: jax.stages.Compiled,
) -> tuple[float, dict[str, int]]:
  """Time a compiled program of a run with random parameters.

  Self-play begins with problems of the run; learning takes one step, from a
  buffer that is full of zeros; evaluation solves its first problems.

  Args:
    name: of the program.
    trainer: of the run.
    arguments: of the program, abstract.
    made: the program.

  Returns:
    Seconds, the median of three; `nodes` that were evaluated and `tokens` that
    were decoded, in the last of them.
  """
  state = trainer.init()
  if name == "learn":
    seconds, _ = _timed(made, _learning(state, arguments))
    return seconds, {}
  params = state.learner.params
  if name == "self_play":
    slots, both = [state.slots], (params, _zeros(arguments[0][1]))
    played = trainer.actors.problems.of_round(0, params)

    def following():
      return both, slots.pop(), played

    def keep(result):
      slots.append(result[0])  # the slots before were given away
      return result[1].cost

  else:
    size, task = arguments[1].shape[0], trainer.run.task
    held_out = measure.held_out(task, size, trainer.run.train.eval_level)
    keys = jax.random.split(jax.random.key(0), size)
    batch = sharding.put((keys, held_out), sharding.slots(trainer.mesh))
    following = lambda: (params, *batch)
    keep = lambda result: result.cost
  seconds, cost = _timed(lambda *a: keep(made(*a)), following)
  count = lambda x: int(np.sum(np.asarray(x)))
  return seconds, {"nodes": count(cost.nodes), "tokens": count(cost.decoded)}


def _learning(state, arguments) -> Callable[[], tuple[Any, ...]]:
  """Return what makes the arguments of one step of learning."""
  *_, played, key, number, reference, models = arguments
  models = _zeros(models)
  key = jax.device_put(jax.random.key(0), key.sharding)
  credit = np.float32(1.0)

  def following():
    # These are given away.
    learner, buffer = jax.tree.map(jnp.copy, (state.learner, state.replay))
    full = jax.device_put(np.int32(buffer.capacity), buffer.added.sharding)
    return (
      learner,
      buffer.replace(added=full),
      jax.device_put(credit, state.credit.sharding),
      _zeros(played),
      key,
      jax.device_put(np.int32(0), number.sharding),
      None if reference is None else jax.tree.map(jnp.copy, learner.params),
      models,
    )

  return following


def _zeros(tree: Any) -> Any:
  return jax.tree.map(
    lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), tree
  )


def _timed(f, following) -> tuple[float, Any]:
  """Return the median of the seconds that a function takes, and its result."""
  jax.block_until_ready(f(*following()))
  seconds = []
  for _ in range(_TIMES):
    given = jax.block_until_ready(following())
    began = time.perf_counter()
    result = jax.block_until_ready(f(*given))
    seconds.append(time.perf_counter() - began)
  return statistics.median(seconds), result
