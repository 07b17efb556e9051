"""How reward models are trained: their losses on batches, and the optimizer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from alphallm.models import network, world_model
from alphallm.rewards import base, examples, losses, model, world

Kind = Literal[
  "outcome", "process", "preference", "pairwise", "implicit", "expert", "world"
]


@dataclasses.dataclass(frozen=True)
class FitConfig:
  """How a reward model learns."""

  trunk: str = "policy"  # its weights first; "fresh": random; "shared": kept
  num_steps: int = 1_000  # of the optimizer
  batch_size: int = 128  # examples
  learning_rate: float = 1e-3  # peak, of AdamW
  beta: float = 0.1  # of DPO, for an implicit reward
  alpha: float = 0.5  # of IQ-Learn's regulariser, for an expert's
  discount: float = 1.0  # of IQ-Learn, per token
  augment: bool = False  # show each use of a state under a random symmetry

  def __post_init__(self):
    if self.trunk not in ("policy", "fresh", "shared"):
      raise ValueError(f"trunk={self.trunk!r} is none of policy, fresh, shared")


# (params, batch) -> []
Loss = Callable[[Any, Any], chex.Array]


def state_loss(apply_fn: network.Network) -> Loss:
  """Return the loss of outcome and process models on `examples.States`."""

  def loss(params, batch: examples.States):
    logits = model.state_logits(apply_fn, params, batch.contexts, batch.ends)
    return losses.process_cross_entropy(logits, batch.labels, batch.mask)

  return loss


def sibling_loss(apply_fn: network.Network) -> Loss:
  """Return the loss of preferences on `examples.Siblings`.

  Of two it is that of Bradley and Terry.
  """

  def loss(params, batch: examples.Siblings):
    logits = model.state_logits(apply_fn, params, batch.contexts, batch.ends)
    return losses.process_preference(logits, batch.right, batch.wrong)

  return loss


def implicit_loss(
  apply_fn: network.Network, reference: Any, beta: float
) -> Loss:
  """Return DPO's loss on `examples.Pairs` (Rafailov et al., 2023, eq. 7)."""

  def loss(params, batch: examples.Pairs):
    reward = model.implicit(apply_fn, params, reference, beta=beta)
    better, worse = reward(batch.better), reward(batch.worse)
    return losses.bradley_terry(better.outcome, worse.outcome)

  return loss


def expert_loss(
  apply_fn: network.Network, alpha: float, discount: float
) -> Loss:
  """Return IQ-Learn's loss on demonstrations, which are solutions."""

  def loss(params, batch: base.Solution):
    chosen, value, after = model.token_values(apply_fn, params, batch)
    mask = batch.is_token.reshape(chosen.shape)
    return losses.inverse_q(
      chosen, value, after, mask, alpha=alpha, discount=discount
    )

  return loss


def world_loss(model: world_model.WorldModel, table: chex.Array) -> Loss:
  """Return the loss of a world model on `examples.Walks`.

  Args:
    model: the world model.
    table: `[V, E]`, the policy's embeddings.
  """

  def loss(params, batch: examples.Walks):
    seen = world.unrolled(
      model,
      params,
      table,
      (batch.contexts[:, 0], batch.ends[:, 0]),
      (batch.steps, batch.step_lengths),
    )
    return world.foresight_loss(seen, batch)

  return loss


def under_symmetries(augment, rng_key: chex.PRNGKey, batch: Any) -> Any:
  """Return a batch of states, each under a random symmetry of its own.

  Args:
    augment: of the task, see `tasks.Task.augment`.
    rng_key: draws (consumed).
    batch: `examples.States` or `examples.Siblings`.
  """
  contexts = batch.contexts
  flat = contexts.reshape(-1, contexts.shape[-1])
  keys = jax.random.split(rng_key, flat.shape[0])
  turned = jax.vmap(lambda key, context: augment(key, context, context)[0])
  return batch.replace(contexts=turned(keys, flat).reshape(contexts.shape))


def fit(
  loss: Loss,
  config: FitConfig,
  params: Any,
  rows: Any,
  rng_key: chex.PRNGKey,
  tell: Callable[[int, float], None] = lambda step, loss: None,
  augment: Callable[..., Any] | None = None,
) -> Any:
  """Return the parameters after training.

  Args:
    loss: what is made small.
    config: how it learns.
    params: before.
    rows: examples, a pytree of arrays `[n, ...]`; batches are drawn with
      replacement.
    rng_key: draws them (consumed).
    tell: is called ten times, with the step and the mean loss since the last.
    augment: of the task, where `config.augment` wants it; see
      `under_symmetries`.

  Raises:
    FloatingPointError: if the loss is no number.
  """
  tx = make_tx(config)
  count = jax.tree.leaves(rows)[0].shape[0]

  def step(carry, key):
    params, opt_state = carry
    places = jax.random.randint(key, (config.batch_size,), 0, count)
    batch = jax.tree.map(lambda x: x[places], rows)
    if augment is not None:
      turn_key = jax.random.fold_in(key, 1)  # `key` drew the places
      batch = under_symmetries(augment, turn_key, batch)
    value, grads = jax.value_and_grad(loss)(params, batch)
    updates, opt_state = tx.update(grads, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), value

  steps = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))
  rows = jax.tree.map(jnp.asarray, rows)
  carry = params, tx.init(params)
  keys = jax.random.split(rng_key, config.num_steps)
  chunk = max(1, config.num_steps // 10)
  for first in range(0, config.num_steps, chunk):
    carry, values = steps(carry, keys[first : first + chunk])
    value = float(np.mean(values))
    if not np.isfinite(value):
      raise FloatingPointError(f"the loss is {value} at step {first}")
    tell(min(first + chunk, config.num_steps), value)
  return carry[0]


def make_tx(config: FitConfig) -> optax.GradientTransformation:
  """Return clipping and AdamW; of a shared trunk the head alone is trained."""
  rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=min(100, config.num_steps // 10 + 1),
    decay_steps=max(config.num_steps, 2),
    end_value=0.05 * config.learning_rate,
  )
  tx = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(rate, b2=0.98, weight_decay=0.01),
  )
  if config.trunk != "shared":
    return tx
  return optax.multi_transform(
    {"head": tx, "trunk": optax.set_to_zero()}, _parts
  )


def _parts(params: Any) -> Any:
  """Say of each parameter if it is the head's or the trunk's."""

  def part(path, _):
    names = jax.tree_util.keystr(path, simple=True, separator="/")
    return "head" if "value_head" in names.split("/") else "trunk"

  return jax.tree_util.tree_map_with_path(part, params)
