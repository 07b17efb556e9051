"""Best-first search: the state of the highest score goes on."""

from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import queue
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def best_first(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_expansions: int = 16,
  room: int = 64,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_expansions: states whose next steps are sampled, at most.
    room: states that may wait at a time; the worst are forgotten.
    guidance: what scores states; `None`: the value head.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided(
    "best_first", guidance, task, settings
  )
  most = 1 + num_expansions * (settings.num_candidates - 1)
  return queue.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    num_expansions=num_expansions,
    room=min(room, most),
    urgency=lambda scores, time: scores,
  )
