"""Learning: the state of the optimizer, and steps on batches of examples."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from alphallm.learning import objective as objective_lib
from alphallm.learning import optimizer, replay, surrogates


@dataclasses.dataclass(frozen=True)
class LearnerConfig(optimizer.OptimizerConfig):
  """How the network learns from the replay buffer, whatever the loss."""

  learning_rate: float = 2e-3
  kl_weight: float = 0.0  # β, holds the policy to its reference
  kl_target: float = 0.0  # KL towards which β is adapted; 0: β stays
  reference_every: int = 0  # iterations between references; 0: pretrained
  capacity: int = 40_000  # examples in the replay buffer
  min_examples: int = 2_000  # before the first step
  reuse: float = 8.0  # times that an example is used, on average
  max_steps: int = 1_000_000  # most steps between two rounds of self-play
  augment: bool = False  # show each use under a random symmetry of the task
  worked: int = 0  # worked answers in the buffer from the start
  max_age: int = 0  # iterations that an example is used in; 0: while it is held


@chex.dataclass(frozen=True)
class TrainState:
  """What learning carries from step to step.

  Attributes:
    step: `[]` int32.
    params: of the network.
    opt_state: of the optimizer.
    average: a moving average of `params`, for evaluation.
    kl_weight: `[]` float32, β.
  """

  step: chex.Array
  params: Any
  opt_state: Any
  average: Any
  kl_weight: chex.Array


def init(
  tx: optax.GradientTransformation, params: Any, kl_weight: float = 0.0
) -> TrainState:
  """Return the state before the first step, with β as it is at first."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=tx.init(params),
    average=jax.tree.map(jnp.copy, params),
    kl_weight=jnp.float32(kl_weight),
  )


def gradients(
  loss_fn: Callable[..., Any], params: Any, batch: Any, parts: int
) -> tuple[tuple[chex.Array, dict[str, chex.Array]], Any]:
  """Return the loss with its metrics, and its gradient, both means over parts.

  Args:
    loss_fn: `(params, batch) -> (loss, metrics)`.
    params: of the network.
    batch: `[b, ...]`.
    parts: of the batch, passed one after the other, which needs the memory of
      one. A loss that is a mean over b equal terms is the same. Rows are dealt
      to parts in turn, so that each is split over devices as the batch is.
  """
  of = jax.value_and_grad(loss_fn, has_aux=True)
  if parts == 1:
    return of(params, batch)
  deal = lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)
  cut = jax.tree.map(deal, batch)
  first = jax.eval_shape(of, params, jax.tree.map(lambda x: x[0], cut))
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first)
  add = lambda sums, part: (jax.tree.map(jnp.add, sums, of(params, part)), None)
  sums, _ = jax.lax.scan(add, zeros, cut)
  return jax.tree.map(lambda x: x / parts, sums)


def train_step(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  config: LearnerConfig,
  objective: objective_lib.Objective,
  state: TrainState,
  batch: Any,
  reference: Any = None,
) -> tuple[TrainState, dict[str, chex.Array]]:
  """Take one step of the optimizer; arguments are those of `train_round`."""
  loss_fn = lambda params, batch: objective.loss(
    apply_fn, params, batch, reference=reference, kl_weight=state.kl_weight
  )
  (loss, metrics), grads = gradients(
    loss_fn, state.params, batch, config.accumulate
  )
  state = apply_gradients(tx, config.average, state, grads)
  metrics = {**metrics, "loss": loss, "grad_norm": optax.tree.norm(grads)}
  return state, metrics


def apply_gradients(
  tx: optax.GradientTransformation,
  average: float,
  state: TrainState,
  grads: Any,
) -> TrainState:
  """Return the state one step on; `average` as in `LearnerConfig`."""
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  decay = jnp.minimum(average, (1.0 + state.step) / (10.0 + state.step))
  return state.replace(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    average=optax.incremental_update(params, state.average, 1.0 - decay),
  )


def train_round(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  config: LearnerConfig,
  objective: objective_lib.Objective,
  state: TrainState,
  buffer: replay.Replay,
  rng_key: chex.PRNGKey,
  num_steps: chex.Array,
  batch_sharding: jax.sharding.Sharding | None = None,
  augment: Callable[..., Any] | None = None,
  reference: Any = None,
  newest: chex.Numeric | None = None,
) -> tuple[TrainState, dict[str, chex.Array]]:
  """Take `num_steps` steps (a traced number) on batches drawn anew.

  Args:
    apply_fn: the network.
    tx: from `make_tx`.
    config: how it learns.
    objective: what it learns.
    state: before the first step.
    buffer: where batches are drawn from.
    rng_key: draws them (consumed).
    num_steps: `[]` int32, may be 0.
    batch_sharding: how a batch is split over devices, if it is.
    augment: `(rng_key, context, candidates) -> (context, candidates)` of one
      example, a symmetry of the task; see `tasks.Task.augment`.
    reference: the parameters of the reference policy, if there is one.
    newest: only examples that are among so many of the last are drawn.

  Returns:
    The state, and the mean of each metric over the steps; 0 if there were none.
  """

  def one(state, index):
    key, augment_key = jax.random.split(jax.random.fold_in(rng_key, index))
    batch = replay.sample(buffer, key, config.batch_size, newest)
    if augment is not None:
      keys = jax.random.split(augment_key, config.batch_size)
      context, candidates = jax.vmap(augment)(
        keys, batch.context, batch.candidates
      )
      batch = batch.replace(context=context, candidates=candidates)
    if batch_sharding is not None:
      batch = jax.lax.with_sharding_constraint(batch, batch_sharding)
    return train_step(apply_fn, tx, config, objective, state, batch, reference)

  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype),
    jax.eval_shape(lambda s: one(s, 0)[1], state),
  )

  def body(index, carry):
    state, sums = carry
    state, metrics = one(state, index)
    return state, jax.tree.map(jnp.add, sums, metrics)

  state, sums = jax.lax.fori_loop(0, num_steps, body, (state, zeros))
  means = jax.tree.map(lambda x: x / jnp.maximum(num_steps, 1), sums)
  if config.kl_target:
    kl_weight = surrogates.adapted(
      state.kl_weight, means["kl"], config.kl_target
    )
    kl_weight = jnp.where(num_steps > 0, kl_weight, state.kl_weight)
    means["kl_weight"] = state.kl_weight
    state = state.replace(kl_weight=kl_weight)
  return state, means
