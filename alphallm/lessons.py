"""What a run makes of a round: examples, and steps of learning."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from alphallm import actors as actors_lib
from alphallm import config as config_lib
from alphallm import judges, sharding, types
from alphallm.learning import (
  imitation,
  learner,
  objective,
  optimizer,
  replay,
)
from alphallm.models import transformer


class Lessons:
  """The learner of a run; its methods are plain functions of their arguments.

  Attributes:
    tx: the optimizer.
    models: the parameters of the models that pay, () if none is asked.
  """

  def __init__(
    self,
    run: config_lib.Run,
    batch: jax.sharding.Sharding,
    actors: actors_lib.Actors,
  ):
    """Make it.

    Args:
      run: of which it is a part.
      batch: how a batch is split over devices.
      actors: who play.

    Raises:
      UserError: if a model that pays is missing, or cannot do it.
    """
    self._run, self._batch, self._actors = run, batch, actors
    model = transformer.learning(run.model, run.learner.scan_layers)
    self._apply = sharding.collecting(
      model, batch.mesh, min_size=run.mesh.min_size
    )
    self.tx = optimizer.make_tx(run.learner)
    self._payer = judges.Payer(run)
    self.models = self._payer.params

  def examples(
    self,
    episodes: types.Episode,
    done: chex.Array,
    nodes: types.Visited | None,
    rng_key: chex.PRNGKey,
  ) -> tuple[Any, chex.Array]:
    """Make examples of a round; see `objective.Objective.examples`."""
    run = self._run
    setting = objective.Setting(
      discount=run.search.discount,
      group_size=max(run.selfplay.group_size, 1),
      num_targets=run.selfplay.num_targets,
    )
    return run.objective.examples(episodes, done, nodes, rng_key, setting)

  def one_example(self, params, slots, first):
    """Return an example of the kind that rounds bring; its shape counts.

    Args:
      params: of the policy.
      slots: the problems under way, `[B, ...]`.
      first: problems, `[B, ...]`.
    """
    nodes = None
    add_moves = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
    if self._run.objective.nodes:
      player = self._actors.player
      both = params, player.params
      nodes = player(both, slots, add_moves(first))[1].nodes
    examples, _ = self.examples(
      *add_moves((slots.trace.episode, slots.num_moves < 0)),
      nodes,
      jax.random.key(0),
    )
    return jax.tree.map(lambda x: x[0], examples)

  def worked(self) -> tuple[types.Episode, np.ndarray]:
    """Return episodes of worked answers, `[n, ...]`, and which are solved.

    They are drawn apart from the problems of self-play, by every process.
    """
    run = self._run
    rng = np.random.default_rng([run.seed, 0, run.learner.worked])
    drawn = run.task.draw_questions(rng, run.learner.worked, "train")
    return imitation.episodes(run.task, drawn, run.selfplay.num_targets)

  def imitate(
    self,
    buffer: replay.Replay,
    episodes: types.Episode,
    solved: chex.Array,
    rng_key: chex.PRNGKey,
  ) -> tuple[replay.Replay, chex.Array]:
    """Put `worked` answers into the buffer; return the steps they pay for.

    Args:
      buffer: of examples, empty.
      episodes: `[n, ...]`.
      solved: `[n]` bool.
      rng_key: draws what is kept (consumed).
    """
    config = self._run.learner
    examples, keep = self.examples(
      *jax.tree.map(lambda x: x[:, None], (episodes, solved)), None, rng_key
    )
    buffer = replay.add(buffer, examples, keep)
    return buffer, buffer.added * config.reuse / config.batch_size

  def take(
    self,
    state: learner.TrainState,
    buffer: replay.Replay,
    credit: chex.Array,
    played: actors_lib.Round,
    rng_key: chex.PRNGKey,
    iteration: chex.Array,
    reference: Any,
    models: Any,
  ) -> tuple[Any, ...]:
    """Put a round into the buffer and take the steps that it pays for.

    Args:
      state: of the learner.
      buffer: of examples.
      credit: `[]` float32, steps that are paid for.
      played: the round.
      rng_key: folded with the iteration (consumed).
      iteration: `[]` int32.
      reference: the parameters that the loss refers to, None if to none.
      models: as the attribute, traced.

    Returns:
      State, buffer and credit after it, and the scalars of the iteration.
    """
    run = self._run
    config, what = run.learner, run.objective
    harvest, policy = played.harvest, state.params
    if self._actors.remembers:
      policy = played.policy.params
    rng_key = jax.random.fold_in(rng_key, iteration)
    keep_key, batch_key = jax.random.split(rng_key)
    paid = self._payer(self._apply, models, harvest, policy)
    examples, keep = self.examples(paid, harvest.done, harvest.nodes, keep_key)
    before = buffer.added
    buffer = replay.add(buffer, examples, keep, iteration)
    new = buffer.added - before
    if what.recall:
      recall = functools.partial(what.recall, self._apply, policy)
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
      self._apply,
      self.tx,
      config,
      what,
      state,
      buffer,
      batch_key,
      num_steps,
      self._batch,
      run.task.augment if config.augment else None,
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
      "staleness": iteration - played.policy.iteration,
      "sample_age": replay.mean_age(buffer, iteration, newest),
      "solved": mean(paid.solved),
      "reward": mean(jnp.sum(paid.rewards, axis=-1)),
      "episode_steps": mean(paid.num_steps),
      "nodes": jnp.sum(harvest.cost.nodes),
      "tokens": jnp.sum(harvest.cost.decoded + harvest.cost.prefilled),
    }
    return state, buffer, credit - num_steps, scalars
