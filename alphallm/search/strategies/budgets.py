"""Strategies by name, and what a budget means for each."""

from collections.abc import Callable
from typing import Any

from alphallm.search.strategies.beam import beam
from alphallm.search.strategies.best_first import best_first
from alphallm.search.strategies.best_of_n import best_of_n
from alphallm.search.strategies.breadth_first import breadth_first
from alphallm.search.strategies.depth_first import depth_first
from alphallm.search.strategies.dvts import dvts
from alphallm.search.strategies.lookahead import lookahead
from alphallm.search.strategies.mctsr import mctsr
from alphallm.search.strategies.rebase import rebase
from alphallm.search.strategies.revision import revision
from alphallm.search.strategies.rewriting import rewriting
from alphallm.search.strategies.sampling import sampling
from alphallm.search.strategies.vote import vote

_CHILDREN = 4  # K of strategies that keep a few of their paths' ways on


def _samples(make):
  return lambda n, k: (make, {"num_samples": n})


def _layers(make):
  """Spend n steps sampled at each depth: n / K paths with K ways on each."""

  def of(n, k):
    few = min(_CHILDREN, n)
    return make, {"width": max(1, n // few), "num_candidates": few}

  return of


def _queue(make):
  return lambda n, k: (make, {"num_expansions": n, "num_candidates": k})


def _chains(n, k):
  """Make n attempts: a few chains of revisions."""
  few = min(_CHILDREN, n)
  settings = {"num_chains": few, "num_revisions": n // few - 1}
  return revision, settings


# By name: (budget, K of the run's search) -> the strategy and its settings.
STRATEGIES: dict[str, Callable[[int, int], tuple[Any, dict[str, Any]]]] = {
  "sampling": _samples(sampling),
  "vote": _samples(vote),
  "best_of_n": _samples(best_of_n),
  "rejection": lambda n, k: (
    best_of_n,
    {"num_samples": n, "reject": 0.25},
  ),
  "beam": _layers(beam),
  "dvts": _layers(dvts),
  "rebase": _samples(rebase),
  "lookahead": _layers(lookahead),
  "breadth_first": _layers(breadth_first),
  "depth_first": _queue(depth_first),
  "best_first": _queue(best_first),
  "revision": lambda n, k: (revision, {"num_revisions": n - 1}),
  "revisions": _chains,
  "rewriting": lambda n, k: (rewriting, {"num_revisions": n - 1}),
  "mctsr": lambda n, k: (mctsr, {"num_attempts": n}),
}
