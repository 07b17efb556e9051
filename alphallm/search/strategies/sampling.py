"""Sampling: paths that are written independently of each other."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers
from alphallm.search.strategies import writer as writer_lib
from alphallm.tasks import base


def sampling(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_samples: int = 1,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  The first sample is the answer; `SearchResult.paths` holds all of them. A
  single one is played step by step, so nothing is asked.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_samples: N.
    guidance: refused.
    **settings: of `Settings`, but for `num_candidates`.
  """
  guidance_lib.refuse("sampling", guidance)
  asks = "nothing" if num_samples == 1 else "rules"
  settings = {"permission": asks} | settings | {"num_candidates": 1}
  return layers.strategy(
    apply_fn,
    task,
    writer_lib.Settings(**settings),
    guidance_lib.NONE,
    width=num_samples,
    num_open=num_samples,
    choose=_first,
  )


def _first(writer, path):
  del writer
  return jnp.zeros(path.value.shape[:1], jnp.int32), path.value[:, 0]
