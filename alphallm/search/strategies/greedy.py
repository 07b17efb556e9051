"""Greedy decoding: the most probable next token, always."""

from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import base


def greedy(
  apply_fn: network.Network,
  task: base.Task,
  *,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Each step is played at once, so nothing is asked.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    guidance: refused.
    **settings: of `Settings`, but for `noise` and `num_candidates`.
  """
  guidance_lib.refuse("greedy", guidance)
  fixed = {"noise": False, "num_candidates": 1}
  return layers.strategy(
    apply_fn,
    task,
    writer_lib.Settings(**({"permission": "nothing"} | settings | fixed)),
    guidance_lib.NONE,
    width=1,
    num_open=1,
  )
