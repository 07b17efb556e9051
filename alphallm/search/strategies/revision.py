"""Sequential revision: each attempt refines the one before."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import attempts as attempts_lib
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def revision(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_revisions: int = 3,
  num_chains: int = 1,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  y_{i+1} = refine(y_i, feedback) (Snell et al., 2024, section 6): the attempt
  before is kept up to its weakest step by the guidance (see
  `attempts.weakest`), and written anew from there. What is known to be wrong
  scores 0, so that the rules and the checker give feedback where they may be
  asked. Of all attempts of all chains the best is the answer.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_revisions: R, of each first attempt.
    num_chains: N that do not know of each other; above 1, best-of-N of
      revisions.
    guidance: what scores each step and the attempts; `None`: the value head.
    **settings: of `Settings`, but for `num_candidates`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided(
    "revision", guidance, task, settings | {"num_candidates": 1}
  )

  def last(attempts, time):
    batch = attempts.parent.shape[0]
    index = (time - 1) * num_chains + jnp.arange(num_chains)[None]
    return jnp.broadcast_to(index, (batch, num_chains))

  return attempts_lib.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=num_chains,
    num_rounds=1 + num_revisions,
    choose=last,
  )
