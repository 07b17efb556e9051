"""The losses of reward models, each a pure function of scores and labels."""

import chex
import jax
import jax.numpy as jnp
import optax


def outcome_cross_entropy(logits: chex.Array, solved: chex.Array) -> chex.Array:
  """Return BCE(σ(logit), solved) of an outcome reward model, `[]`.

  Cobbe et al., 2021, section 4, with one score for a whole solution.

  Args:
    logits: `[B]`, at the last token.
    solved: `[B]`, in [0, 1].
  """
  labels = solved.astype(logits.dtype)
  return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels))


def process_cross_entropy(
  logits: chex.Array, labels: chex.Array, mask: chex.Array
) -> chex.Array:
  """Return the mean BCE over steps (Math-Shepherd, Wang et al., 2024, eq. 2).

  Args:
    logits: `[B, S]`, where each step ends.
    labels: `[B, S]`: 0 or 1 if they are hard, in between if soft.
    mask: `[B, S]`, ones where there is a label.
  """
  losses = optax.sigmoid_binary_cross_entropy(logits, labels)
  return _mean(losses, mask)


def bradley_terry(
  better: chex.Array, worse: chex.Array, mask: chex.Array | None = None
) -> chex.Array:
  """Return the mean of −log σ(r(y_w) − r(y_l)) (Bradley and Terry, 1952).

  Args:
    better: `[n]`, rewards of the solutions preferred.
    worse: `[n]`, of those they were preferred to.
    mask: `[n]`, which pairs are there; `None`: all.
  """
  mask = jnp.ones_like(better) if mask is None else mask
  return _mean(jax.nn.softplus(worse - better), mask)


def process_preference(
  scores: chex.Array, right: chex.Array, wrong: chex.Array
) -> chex.Array:
  """Return the pairwise loss of siblings (rStar-Math, Guan et al., 2025).

  The mean of −log σ(r(y⁺) − r(y⁻)) over all pairs of a right and a wrong step
  at the same state, with a mean over the states that have one.

  Args:
    scores: `[B, K]`, of the K steps at each state.
    right: `[B, K]` bool, which count as right.
    wrong: `[B, K]` bool, which count as wrong; some may be neither.
  """
  difference = scores[:, :, None] - scores[:, None]
  pairs = (right[:, :, None] & wrong[:, None]).astype(scores.dtype)
  losses = jnp.sum(jax.nn.softplus(-difference) * pairs, axis=(1, 2))
  count = jnp.sum(pairs, axis=(1, 2))
  return _mean(losses / jnp.maximum(count, 1.0), count > 0)


def inverse_q(
  chosen: chex.Array,
  value: chex.Array,
  next_value: chex.Array,
  mask: chex.Array,
  *,
  discount: float = 1.0,
  alpha: float = 0.5,
) -> chex.Array:
  """Return the loss of IQ-Learn, offline (Garg et al., 2021), `[]`.

  −E[φ(Q(s,a) − γV(s')) − (V(s) − γV(s'))] over the expert's moves alone, with
  the χ² regulariser φ(x) = x − x²/(4α). The reward that is learned is
  Q(s,a) − γV(s'), see `expert_reward`.

  Args:
    chosen: `[B, M]`, Q of the expert's actions.
    value: `[B, M]`, V(s) = logsumexp_a Q(s,a).
    next_value: `[B, M]`, V(s'); 0 where the episode is over.
    mask: `[B, M]`, ones where there is a move.
    discount: γ.
    alpha: α; a larger one allows larger rewards.
  """
  reward = expert_reward(chosen, next_value, discount)
  phi = reward - jnp.square(reward) / (4 * alpha)
  return -_mean(phi - (value - discount * next_value), mask)


def expert_reward(
  chosen: chex.Array, next_value: chex.Array, discount: float = 1.0
) -> chex.Array:
  """Return r(s,a) = Q(s,a) − γV(s'), the inverse of Bellman's equation."""
  return chosen - discount * next_value


def _mean(x: chex.Array, mask: chex.Array) -> chex.Array:
  mask = mask.astype(x.dtype)
  return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)
