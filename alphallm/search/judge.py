"""What the environment says of a node's candidates, before any is expanded."""

import chex
import jax
import jax.numpy as jnp

from alphallm import types
from alphallm.search import candidates as candidates_lib
from alphallm.search.candidates import IMPOSSIBLE
from alphallm.tasks import base

_LOSES_TO_A_WIN = 20.0  # nats taken from the siblings of a winning candidate


def ask(
  task: base.Task,
  rng_keys: chex.PRNGKey,
  state: types.State,
  steps: candidates_lib.Candidates,
  *,
  rules_propose: bool,
) -> tuple[candidates_lib.Candidates, types.State]:
  """Return the candidates and the states that they lead to, `[B, K, ...]`.

  Args:
    task: the environment, asked about all candidates when a node is made.
    rng_keys: `[B]` keys for the steps proposed (consumed).
    state: of the nodes, `[B, ...]`.
    steps: their candidates.
    rules_propose: whether K random legal steps, equally likely, stand in where
      no candidate is legal: so self-play gets going from a random network.
  """
  take = jax.vmap(jax.vmap(task.step, (None, 0, 0)))
  after = take(state, steps.tokens, steps.lengths)
  if not rules_propose:
    return steps, after
  k = steps.lengths.shape[1]
  split = jax.vmap(lambda key: jax.random.split(key, k))(rng_keys)
  tokens, lengths = jax.vmap(jax.vmap(task.random_step, (0, None)))(
    split, state
  )
  proposed = candidates_lib.Candidates(
    tokens=tokens,
    lengths=lengths,
    log_probs=jnp.zeros_like(steps.log_probs),
    prior=jnp.zeros_like(steps.prior),
  )
  stuck = ~jnp.any(after.legal, axis=-1)
  choose = lambda new, old: jnp.where(
    stuck.reshape(stuck.shape + (1,) * (old.ndim - 1)), new, old
  )
  return (
    jax.tree.map(choose, proposed, steps),
    jax.tree.map(choose, take(state, tokens, lengths), after),
  )


def judge(
  steps: candidates_lib.Candidates,
  after: types.State | None,
  *,
  prior_temperature: float,
  sees_reward: bool,
) -> tuple[chex.Array, chex.Array]:
  """Return prior logits and winning candidates of nodes, both `[B, K]`.

  Illegal candidates are masked, of those that lead to the same state the first
  gets the probability of all, and a winning one outweighs its siblings.

  Args:
    steps: the candidates.
    after: the states that they lead to; None if the search may not ask, and
      equal steps alone lead to the same state.
    prior_temperature: divides the prior of the steps.
    sees_reward: whether the search is told which of them solve the problem.
  """
  logits = jnp.maximum(steps.prior / prior_temperature, -1e6)
  legal = steps.log_probs > IMPOSSIBLE / 2
  if after is None:
    same = steps.tokens[:, :, None] == steps.tokens[:, None]
    same = jnp.all(same, axis=-1)
  else:
    legal &= after.legal
    same = after.fingerprint[:, :, None] == after.fingerprint[:, None]
  same = same & legal[:, :, None] & legal[:, None, :]
  merged = jax.nn.logsumexp(
    jnp.where(same, logits[:, None, :], IMPOSSIBLE), axis=-1
  )
  is_first = jnp.argmax(same, axis=-1) == jnp.arange(logits.shape[1])[None]
  logits = jnp.where(legal & is_first, merged, IMPOSSIBLE)
  if after is None or not sees_reward:
    return logits, jnp.zeros(logits.shape, bool)
  wins = legal & is_first & after.terminated & (after.reward >= 1)
  loses = jnp.any(wins, -1, keepdims=True) & ~wins
  logits = jnp.where(
    loses & (logits > IMPOSSIBLE / 2), logits - _LOSES_TO_A_WIN, logits
  )
  return logits, wins
