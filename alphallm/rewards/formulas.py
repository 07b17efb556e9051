"""Rewards that are computed: shaped, implicit, confident, of a verdict."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp


def shaped(
  rewards: chex.Array,
  before: chex.Array,
  after: chex.Array,
  terminal: chex.Array,
  *,
  discount: float,
) -> chex.Array:
  """Return r + γφ(s') − φ(s), with φ(terminal) = 0 (Ng et al., 1999).

  What is best to do stays best, whatever φ is, for on every way to an end the
  sum of what is added is −φ of its start. An end whose φ is not 0 would be a
  reward of its own.

  Args:
    rewards: `[...]`, r of each step.
    before: `[...]`, φ of the state at which it was taken.
    after: `[...]`, φ of the state to which it led.
    terminal: `[...]` bool, whether that one is an end.
    discount: γ, that of the task.
  """
  return rewards + discount * jnp.where(terminal, 0.0, after) - before


def shaped_steps(
  rewards: chex.Array,
  potentials: chex.Array,
  num_steps: chex.Array,
  *,
  discount: float,
) -> chex.Array:
  """Return the shaped rewards of solutions that are over, `[B, D]`.

  Args:
    rewards: `[B, D]`.
    potentials: `[B, D + 1]`, φ of each state, say the value head's.
    num_steps: `[B]` int32.
    discount: γ.
  """
  places = jnp.arange(rewards.shape[1])[None]
  is_last = places == num_steps[:, None] - 1
  result = shaped(
    rewards,
    potentials[:, :-1],
    potentials[:, 1:],
    is_last,
    discount=discount,
  )
  return jnp.where(places < num_steps[:, None], result, 0.0)


def implicit(
  log_probs: chex.Array, reference: chex.Array, *, beta: float
) -> chex.Array:
  """Return β log(π(a|s) / π_ref(a|s)) of steps (Rafailov et al., 2024).

  Args:
    log_probs: `[...]`, of each step under a policy that DPO has trained.
    reference: `[...]`, under the policy that it began with.
    beta: β of the DPO.
  """
  return beta * (log_probs - reference)


def token_confidence(
  logits: chex.Array, tokens: chex.Array, mask: chex.Array, *, top: int = 5
) -> chex.Array:
  """Return the mean confidence of tokens (Marco-o1, Zhao et al., 2024, eq. 1).

  c_i = exp(log p(t_i)) / Σ_k exp(log p(t_k)), over the `top` likeliest tokens
  at its place; their mean over a step is what the step scores.

  Args:
    logits: `[..., T, V]`, of each token.
    tokens: `[..., T]` int32.
    mask: `[..., T]`, ones where there is a token.
    top: how many alternatives.

  Returns:
    `[...]`, in [0, 1]; of no token 0.
  """
  chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
  best, _ = jax.lax.top_k(logits, min(top, logits.shape[-1]))
  confidence = jnp.exp(chosen - jax.nn.logsumexp(best, axis=-1))
  mask = mask.astype(logits.dtype)
  total = jnp.sum(jnp.minimum(confidence, 1.0) * mask, axis=-1)
  return total / jnp.maximum(jnp.sum(mask, axis=-1), 1.0)


def verdict(
  logits: chex.Array, yes_ids: Sequence[int], no_ids: Sequence[int]
) -> chex.Array:
  """Return P("Yes") of a model that was asked, against P("No"), `[...]`.

  Kadavath et al., 2022. After a critique of its own the same number is the
  score of a generative reward model (Zhang et al., 2024).

  Args:
    logits: `[..., V]`, of the token after the question.
    yes_ids: tokens that say yes.
    no_ids: tokens that say no.
  """
  yes, no = (
    jax.nn.logsumexp(logits[..., jnp.asarray(ids)], axis=-1)
    for ids in (yes_ids, no_ids)
  )
  return jax.nn.sigmoid(yes - no)


def pairwise_judge(first: chex.Array, second: chex.Array) -> chex.Array:
  """Return the score of each of K solutions, judged two by two, `[..., K]`.

  The share of its comparisons that a solution wins, each asked in both orders,
  for a model may prefer what stands first (Zheng et al., 2023).

  Args:
    first: `[..., K, K]`, at i, j P("the first is better") of i before j.
    second: `[..., K, K]`, at i, j P("the second is better") of j before i.
  """
  wins = 0.5 * (first + second)
  k = wins.shape[-1]
  others = ~jnp.eye(k, dtype=bool)
  others = others.reshape((1,) * (wins.ndim - 2) + others.shape)
  return jnp.sum(jnp.where(others, wins, 0.0), axis=-1) / max(k - 1, 1)
