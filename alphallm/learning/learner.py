"""The AlphaZero learner: candidates scored against one pass of a context."""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from alphallm.learning import losses, replay
from alphallm.models import attention


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
  """How the network learns from the replay buffer."""

  batch_size: int = 256  # examples
  learning_rate: float = 2e-3
  warmup_steps: int = 100
  decay_steps: int = 10_000  # cosine, to `final_rate` x learning_rate
  final_rate: float = 0.05
  b2: float = 0.98
  weight_decay: float = 0.01
  clip_norm: float = 1.0
  value_weight: float = 1.0
  value_rate: float = 1.0  # of the value head, x learning_rate
  kl_weight: float = 0.0  # β, holds the policy to the pretrained one
  average: float = 0.99  # decay per step of the average of the weights
  capacity: int = 40_000  # examples in the replay buffer
  min_examples: int = 2_000  # before the first step
  reuse: float = 8.0  # times that an example is used, on average
  max_steps: int = 1_000_000  # most steps between two rounds of self-play
  augment: bool = False  # show each use under a random symmetry of the task
  learn_from: str = "solutions"  # or "solved" episodes, or "all" states
  failure_share: float = 0.25  # of the states that teach a value alone
  worked: int = 0  # worked answers in the buffer from the start

  def __post_init__(self):
    if self.learn_from not in ("solutions", "solved", "all"):
      raise ValueError(
        f"learn_from={self.learn_from!r} is none of solutions, solved, all"
      )


@chex.dataclass(frozen=True)
class TrainState:
  """What learning carries from step to step.

  Attributes:
    step: `[]` int32.
    params: of the network.
    opt_state: of the optimizer.
    average: a moving average of `params`, for evaluation.
  """

  step: chex.Array
  params: Any
  opt_state: Any
  average: Any


def make_tx(config: LearnerConfig) -> optax.GradientTransformation:
  """Return clipping and AdamW with a warm-up and a cosine decay.

  The parameters below the name `value_head` have a rate of their own.
  """
  rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=config.warmup_steps,
    decay_steps=max(config.decay_steps, config.warmup_steps + 1),
    end_value=config.final_rate * config.learning_rate,
  )

  def is_value_head(params):
    of_head = lambda keys, _: "value_head" in map(_name, keys)
    return jax.tree_util.tree_map_with_path(of_head, params)

  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(rate, b2=config.b2, weight_decay=config.weight_decay),
    optax.masked(optax.scale(config.value_rate), is_value_head),
  )


def _name(key) -> str:
  return jax.tree_util.keystr((key,), simple=True)


def init(tx: optax.GradientTransformation, params: Any) -> TrainState:
  """Return the state before the first step."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=tx.init(params),
    average=jax.tree.map(jnp.copy, params),
  )


def predict(
  apply_fn: Callable[..., Any], params: Any, batch: replay.Example
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Return what the network says of every token of the candidates.

  The context is passed once; every candidate attends to as much of it as its
  state had read.

  Returns:
    Log-probabilities of a candidate's first token, `[B, S, V]`, and of those
    behind it, `[B, S, J, T - 1, V]`; value logits `[B, S]`.
  """
  b, s, j, t = batch.candidates.shape
  c = batch.context.shape[-1]
  places = jnp.broadcast_to(jnp.arange(c)[None, None], (b, 1, c))
  last = batch.ends - 1
  prefix = apply_fn(params, batch.context[:, None], places, read=last[:, None])
  first = jax.nn.log_softmax(prefix.logits[:, 0])
  value_logits = prefix.value_logits[:, 0]
  if t == 1:
    return first, jnp.zeros((b, s, j, 0, first.shape[-1])), value_logits
  tokens = batch.candidates.reshape(b, s * j, t)
  ends = jnp.repeat(batch.ends, j, axis=1)
  read = jnp.arange(c)[None, None] < ends[..., None]
  output = apply_fn(
    params,
    tokens[..., :-1],
    ends[..., None] + jnp.arange(t - 1)[None, None],
    segments=[
      attention.Segment(
        kv=jax.tree.map(lambda x: x[:, 0], prefix.kv), mask=read[:, :, None]
      )
    ],
  )
  rest = jax.nn.log_softmax(output.logits)
  return first, rest.reshape(b, s, j, t - 1, -1), value_logits


def score(
  batch: replay.Example, first: chex.Array, rest: chex.Array
) -> chex.Array:
  """Return log π of every candidate, `[B, S, J]`.

  Args:
    batch: holds the candidates.
    first: as of `predict`.
    rest: as of `predict`.
  """
  tokens = batch.candidates
  pick = lambda x, at: jnp.take_along_axis(x, at[..., None], axis=-1)[..., 0]
  log_probs = jnp.concatenate(
    [
      jnp.take_along_axis(first, tokens[..., 0], axis=-1)[..., None],
      pick(rest, tokens[..., 1:]),
    ],
    axis=-1,
  )
  return jnp.sum(jnp.where(_is_token(batch), log_probs, 0.0), axis=-1)


def _is_token(batch: replay.Example) -> chex.Array:
  """Return which of the candidates' tokens are there, `[B, S, J, T]`."""
  places = jnp.arange(batch.candidates.shape[-1])[None, None, None]
  return places < batch.lengths[..., None]


def divergence(
  batch: replay.Example,
  policy: tuple[chex.Array, chex.Array],
  reference: tuple[chex.Array, chex.Array],
) -> chex.Array:
  """Return the mean of KL(π‖π_ref) over the tokens of the candidates.

  Args:
    batch: holds the candidates.
    policy: the log-probabilities of `predict`.
    reference: those of the reference.
  """
  first = losses.kl_divergence(policy[0], reference[0])[..., None, None]
  rest = losses.kl_divergence(policy[1], reference[1])
  b, s, j, _ = batch.candidates.shape
  every = jnp.concatenate([jnp.broadcast_to(first, (b, s, j, 1)), rest], -1)
  is_known = batch.mask[..., None, None] > 0
  return losses.weighted_mean(every, _is_token(batch) & is_known)


def alphazero_loss(
  apply_fn: Callable[..., Any],
  params: Any,
  batch: replay.Example,
  *,
  value_weight: float = 1.0,
  reference: Any = None,
  kl_weight: float = 0.0,
) -> tuple[chex.Array, dict[str, chex.Array]]:
  """Return −Σ_k w_k log π(step_k | s) + BCE(v(s), z) + β KL, and its parts.

  The policy term is a mean over the states that have a policy to learn, the
  value term over all (AlphaZero, Silver et al., 2018, eq. 1, with steps of
  language as actions). KL(π‖π_ref) is that of the next token, a mean over all
  tokens of the candidates.

  Args:
    apply_fn: the network.
    params: of the policy.
    batch: what is learned from.
    value_weight: of the value term.
    reference: the parameters of π_ref; `None`: there is no such term.
    kl_weight: β.
  """
  *policy_says, value_logits = predict(apply_fn, params, batch)
  log_probs = score(batch, *policy_says)
  has_policy = jnp.sum(batch.weights, axis=-1) > 0
  policy = losses.weighted_mean(
    losses.policy_cross_entropy(log_probs, batch.weights), has_policy
  )
  value = losses.weighted_mean(
    losses.value_cross_entropy(value_logits, batch.values), batch.mask
  )
  error = jnp.square(jax.nn.sigmoid(value_logits) - batch.values)
  metrics = {
    "policy_loss": policy,
    "value_loss": value,
    "value_error": losses.weighted_mean(error, batch.mask),
    "policy_share": jnp.mean(has_policy.astype(jnp.float32)),
  }
  loss = policy + value_weight * value
  if reference is not None:
    *reference_says, _ = predict(apply_fn, reference, batch)
    metrics["kl"] = divergence(
      batch, policy_says, jax.lax.stop_gradient(reference_says)
    )
    loss += kl_weight * metrics["kl"]
  return loss, metrics


def train_step(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  config: LearnerConfig,
  state: TrainState,
  batch: replay.Example,
  reference: Any = None,
) -> tuple[TrainState, dict[str, chex.Array]]:
  """Take one step of the optimizer; `reference` as in `alphazero_loss`."""
  loss_fn = lambda params: alphazero_loss(
    apply_fn,
    params,
    batch,
    value_weight=config.value_weight,
    reference=reference,
    kl_weight=config.kl_weight,
  )
  (loss, metrics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
    state.params
  )
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  decay = jnp.minimum(config.average, (1.0 + state.step) / (10.0 + state.step))
  state = TrainState(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    average=optax.incremental_update(params, state.average, 1.0 - decay),
  )
  metrics = {**metrics, "loss": loss, "grad_norm": optax.tree.norm(grads)}
  return state, metrics


def train_round(
  apply_fn: Callable[..., Any],
  tx: optax.GradientTransformation,
  config: LearnerConfig,
  state: TrainState,
  buffer: replay.Replay,
  rng_key: chex.PRNGKey,
  num_steps: chex.Array,
  batch_sharding: jax.sharding.Sharding | None = None,
  augment: Callable[..., Any] | None = None,
  reference: Any = None,
) -> tuple[TrainState, dict[str, chex.Array]]:
  """Take `num_steps` steps (a traced number) on batches drawn anew.

  Args:
    apply_fn: the network.
    tx: from `make_tx`.
    config: how it learns.
    state: before the first step.
    buffer: where batches are drawn from.
    rng_key: draws them (consumed).
    num_steps: `[]` int32, may be 0.
    batch_sharding: how a batch is split over devices, if it is.
    augment: `(rng_key, context, candidates) -> (context, candidates)` of one
      example, a symmetry of the task; see `tasks.Task.augment`.
    reference: as in `alphazero_loss`.

  Returns:
    The state, and the mean of each metric over the steps; 0 if there were none.
  """

  def one(state, index):
    key, augment_key = jax.random.split(jax.random.fold_in(rng_key, index))
    batch = replay.sample(buffer, key, config.batch_size)
    if augment is not None:
      keys = jax.random.split(augment_key, config.batch_size)
      context, candidates = jax.vmap(augment)(
        keys, batch.context, batch.candidates
      )
      batch = batch.replace(context=context, candidates=candidates)
    if batch_sharding is not None:
      batch = jax.lax.with_sharding_constraint(batch, batch_sharding)
    return train_step(apply_fn, tx, config, state, batch, reference)

  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype),
    jax.eval_shape(lambda s: one(s, 0)[1], state),
  )

  def body(index, carry):
    state, sums = carry
    state, metrics = one(state, index)
    return state, jax.tree.map(jnp.add, sums, metrics)

  state, sums = jax.lax.fori_loop(0, num_steps, body, (state, zeros))
  return state, jax.tree.map(lambda x: x / jnp.maximum(num_steps, 1), sums)
