"""Tree of thoughts, depth first: the newest good state goes on."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import queue
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def depth_first(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_expansions: int = 16,
  threshold: float | None = None,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Yao et al., 2023, algorithm 2: the K thoughts of a state are explored in the
  order of their scores, each to its end before the next; those below the
  threshold are not.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_expansions: states whose thoughts are sampled, at most.
    threshold: the least score of a state that is explored; `None`: any.
    guidance: what scores states; `None`: the value head.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided(
    "depth_first", guidance, task, settings
  )
  k = settings.num_candidates

  def newest(scores, time):
    place = jnp.argsort(jnp.argsort(-scores, axis=1), axis=1)
    return (time * k + k - 1 - place).astype(scores.dtype)

  return queue.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    num_expansions=num_expansions,
    room=1 + min(task.max_steps, num_expansions) * (k - 1),
    urgency=newest,
    threshold=threshold,
  )
