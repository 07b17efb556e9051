"""Tree of thoughts, breadth first: the best states of each depth go on."""

import functools
from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, selection
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def breadth_first(
  apply_fn: network.Network,
  task: base.Task,
  *,
  width: int = 4,
  threshold: float | None = None,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Yao et al., 2023, algorithm 1: of the K thoughts of each of W states the W
  best are kept. Unlike a beam it looks at states: where two paths lead to the
  same one, which the rules tell, the better goes on; and a state below the
  threshold does not.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    width: W.
    threshold: the least score of a state that goes on; `None`: any.
    guidance: what scores states; `None`: the value head.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided(
    "breadth_first", guidance, task, settings
  )
  select = functools.partial(
    selection.highest,
    width=width,
    merge=settings.permission != "nothing",
    threshold=threshold,
  )
  return layers.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=width,
    num_open=1,
    select=select,
  )
