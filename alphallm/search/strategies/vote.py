"""Self-consistency: the answer that most samples give, or the best ones."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from alphallm.models import network
from alphallm.search import play
from alphallm.search.strategies import best_of_n, layers, outcome
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import settings as settings_lib
from alphallm.tasks import base


def vote(
  apply_fn: network.Network,
  task: base.Task,
  *,
  num_samples: int = 16,
  guidance: guidance_lib.Guidance | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the strategy `(params, rng_key, problems) -> SearchResult`.

  The answer is argmax_a Σ_i r_i·1[a_i = a] over the samples that have come to
  an end (see `Task.answer`); its share of all Σ_i r_i is the value told. Of
  equals the answer given first is taken; where no sample has one, the best
  sample.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    num_samples: N.
    guidance: r, in [0, 1]; `None`: 1 for each (Wang et al., 2023).
    **settings: of `Settings`, but for `num_candidates`; "rules" may be asked.

  Raises:
    ValueError: if the guidance makes no sense here.
  """
  guidance = guidance or _EQUAL
  _, settings = settings_lib.guided(
    "vote",
    dataclasses.replace(guidance, needs_answer=True),
    task,
    {"permission": "rules"} | settings | {"num_candidates": 1},
    of_partial=False,
  )
  if not guidance.is_share:
    raise ValueError(
      f"vote by {guidance.name}: its scores are not from 0 to 1, so that votes "
      "of them cannot be added up"
    )
  return layers.strategy(
    apply_fn,
    task,
    settings,
    best_of_n.unscored(guidance),
    width=num_samples,
    num_open=num_samples,
    choose=functools.partial(_most, guidance),
  )


_EQUAL = guidance_lib.Guidance(
  "equal votes", lambda path: jnp.ones_like(path.log_prob)
)


def _most(guidance, writer, path):
  path = dataclasses.replace(writer, guidance=guidance).score(path)
  path = writer.with_answers(path)
  has_answer = path.answer > 0
  votes = guidance_lib.tally(path.answer, path.score)
  total = jnp.sum(jnp.where(has_answer, path.score, 0.0), axis=1)
  counted = jnp.where(has_answer, votes, -1.0)
  # Sums of the same votes in another order may differ in the last bit.
  highest = jnp.max(counted, axis=1, keepdims=True)
  index = jnp.argmax(counted >= highest - 1e-6, axis=1)
  share = jnp.max(counted, axis=1) / jnp.maximum(total, 1e-9)
  anyone = jnp.any(has_answer, axis=1)
  other, _ = outcome.best(writer, path)
  return jnp.where(anyone, index, other), jnp.where(anyone, share, 0.0)
