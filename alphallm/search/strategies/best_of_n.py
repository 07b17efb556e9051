"""Best-of-N: N samples, of which the one of the highest score is the answer."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import layers, outcome, selection
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def best_of_n(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_samples: int = 16,
  guidance: guidance_lib.Guidance | None = None,
  reject: float = 0.0,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_samples: N.
    guidance: what scores whole samples; `None`: the value head.
    reject: share of the samples that is given up after each step, the weakest
      by the guidance, which must then score partial ones (speculative
      rejection, Sun et al., 2024). 0: none is.
    **settings: of `Settings`, but for `num_candidates`.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  if not 0 <= reject < 1:
    raise ValueError(f"reject={reject} is not from 0 to below 1")
  guidance, settings = settings_lib.guided(
    "best_of_n with rejection" if reject else "best_of_n",
    guidance,
    task,
    settings | {"num_candidates": 1},
    of_partial=reject > 0,
  )
  if reject:
    select = functools.partial(selection.all_but_weakest, share=reject)
    while_writing = guidance
  else:
    select, while_writing = layers.everyone, unscored(guidance)
  return layers.strategy(
    apply_fn,
    task,
    settings,
    while_writing,
    width=num_samples,
    num_open=num_samples,
    select=select,
    choose=functools.partial(_best, guidance),
  )


def unscored(guidance: guidance_lib.Guidance) -> guidance_lib.Guidance:
  """Return what samples are written by that are scored at the end alone."""
  return dataclasses.replace(
    guidance,
    score=lambda path: jnp.zeros_like(path.log_prob),
    needs_answer=False,
    needs_end=True,
  )


def _best(guidance, writer, path):
  return outcome.best(
    writer, dataclasses.replace(writer, guidance=guidance).score(path)
  )
