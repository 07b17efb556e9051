"""Diverse verifier tree search: subtrees that do not compete until the end."""

import functools
from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, selection
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def dvts(
  apply_fn: network.Network,
  task: base.Task,
  *,
  width: int = 4,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  W paths go on independently, each by the best of its K next steps, and the
  best of the W in the end is the answer (Beeching et al., 2024).

  Args:
    apply_fn: the network.
    task: where the problems come from.
    width: W.
    guidance: what scores steps and paths; `None`: the value head.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided("dvts", guidance, task, settings)
  return layers.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=width,
    num_open=width,
    select=functools.partial(selection.highest_of_each, width=width),
  )
