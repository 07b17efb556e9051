"""MCTSr: a tree search whose nodes are whole solutions, refined."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import attempts as attempts_lib
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def mctsr(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_attempts: int = 8,
  max_children: int = 2,
  exploration: float = 1.4,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Monte Carlo Tree Self-refine (Zhang et al., 2024): an action refines a full
  answer, as in `revision`. The answer refined next is that of the highest

    UCT_a = Q_a + c √(ln(N_parent + 1) / N_a)          (eq. 4)

  of those that have fewer than `max_children` refinements, or none better than
  themselves. Q_a = ½ (min R + mean R) (eq. 1) over the scores after its steps,
  which are how often a process reward judges an answer; behind it lie those of
  its refinements, Q_a ← ½ (Q_a + max_i Q_i) (eq. 2). N_a counts it and all that
  came out of it.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_attempts: A.
    max_children: see above.
    exploration: c.
    guidance: what scores each step and the attempts; `None`: the value head.
    **settings: of `Settings`, but for `num_candidates`.

  Raises:
    ValueError: if the guidance makes no sense here, or a number is too small.
  """
  if max_children < 1 or exploration < 0:
    raise ValueError(
      f"max_children={max_children}, exploration={exploration}: at least 1 and "
      "0 are needed"
    )
  guidance, settings = settings_lib.guided(
    "mctsr", guidance, task, settings | {"num_candidates": 1}
  )
  return attempts_lib.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=1,
    num_rounds=num_attempts,
    choose=functools.partial(
      _highest, max_children=max_children, exploration=exploration
    ),
  )


def own_worth(attempts: attempts_lib.Attempts) -> chex.Array:
  """Return Q of each attempt by itself, ½ (min R + mean R), `[B, A]`."""
  is_step = attempts.is_step
  scores = attempts.scores[..., 1:]
  least = jnp.min(jnp.where(is_step, scores, 1.0), axis=-1)
  count = jnp.maximum(attempts.path.num_steps, 1)
  mean = jnp.sum(jnp.where(is_step, scores, 0.0), axis=-1) / count
  return (least + mean) / 2


def _highest(attempts, time, *, max_children, exploration):
  """Return the attempt of the highest UCT, `[B, 1]`."""
  parent = attempts.parent
  batch, total = parent.shape
  rows = jnp.arange(batch)
  behind = jnp.where(parent < 0, total, parent)  # beyond all places

  def back_up(i, carry):
    # Refinements lie behind what they refine.
    worth, visits, best, children = carry
    at = total - 1 - i
    mine = worth[:, at]
    mine = jnp.where(children[:, at] > 0, (mine + best[:, at]) / 2, mine)
    made = at < time
    to = jnp.where(made, behind[:, at], total)
    return (
      worth.at[:, at].set(mine),
      visits.at[rows, to].add(visits[:, at], mode="drop"),
      best.at[rows, to].max(mine, mode="drop"),
      children.at[rows, to].add(1, mode="drop"),
    )

  own = own_worth(attempts)
  zeros = jnp.zeros((batch, total), jnp.int32)
  worth, visits, best, children = jax.lax.fori_loop(
    0, total, back_up, (own, zeros + 1, jnp.zeros_like(own), zeros)
  )
  of_parent = jnp.where(
    parent < 0, visits, visits[rows[:, None], jnp.maximum(parent, 0)]
  )
  bonus = exploration * jnp.sqrt(jnp.log(of_parent + 1.0) / visits)
  is_full = (children >= max_children) & (best > own)
  is_open = (jnp.arange(total)[None] < time) & ~is_full
  uct = jnp.where(is_open, worth + bonus, -jnp.inf)
  return jnp.argmax(uct, axis=1)[:, None]
