"""Beam search over steps: the W best partial solutions go on."""

import functools
from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, selection
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def beam(
  apply_fn: network.Network,
  task: base.Task,
  *,
  width: int = 4,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Of the W x K ways on from W paths the W of the highest scores are kept; those
  that are finished keep their places, and the best of them is the answer.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    width: W.
    guidance: what scores them; `None`: the log-probability of all steps, which
      the network need not read before they are chosen.
    **settings: of `Settings`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance, settings = settings_lib.guided(
    "beam", guidance or guidance_lib.log_prob(), task, settings
  )
  return layers.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=width,
    num_open=1,
    select=functools.partial(selection.highest, width=width),
  )
