"""REBASE: the budget is spread over the frontier by the softmax of scores."""

import functools
from collections.abc import Callable
from typing import Any

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, selection
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def rebase(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_samples: int = 16,
  balance: float = 0.2,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Reward balanced search (Wu et al., 2024): each step is sampled as often as the
  score of its path deserves, N steps in all, less what is finished.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_samples: N.
    balance: temperature of the softmax.
    guidance: what scores paths; `None`: the value head.
    **settings: of `Settings`, but for `num_candidates`.

  Raises:
    ValueError: if the guidance makes no sense here, or the balance is not above
      0.
  """
  if balance <= 0:
    raise ValueError(f"balance={balance} is not above 0")
  guidance, settings = settings_lib.guided(
    "rebase", guidance, task, settings | {"num_candidates": 1}
  )
  return layers.strategy(
    apply_fn,
    task,
    settings,
    guidance,
    width=num_samples,
    num_open=num_samples,
    select=functools.partial(
      selection.in_proportion, width=num_samples, temperature=balance
    ),
  )
