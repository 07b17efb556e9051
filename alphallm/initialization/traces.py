"""Thoughts of searchers on training problems, to be imitated."""

import dataclasses
import functools
from typing import Any

import numpy as np

from alphallm.initialization import documents, games, searchers, thoughts
from alphallm.tasks import base, long_thoughts

_BLOCK = 64  # problems drawn at a time
_SEARCHERS = (searchers.depth_first, searchers.breadth_first)


@dataclasses.dataclass(frozen=True)
class TraceConfig:
  """Which searches become thoughts.

  One searcher, heuristic and width is drawn for each problem. Of those that
  find no solution within `max_visits`, or whose thought has no room in the
  task, there is no document.
  """

  min_width: int = 1  # ways on from a state that are tried
  max_width: int = 5
  max_visits: int = 24  # states visited

  def __post_init__(self):
    if self.min_width > self.max_width:
      raise ValueError(
        f"min_width={self.min_width} is above max_width={self.max_width}"
      )


class Traces:
  """A source of thoughts about the problems of a split."""

  def __init__(
    self,
    task: long_thoughts.Thoughts,
    config: TraceConfig,
    split: base.Split,
    seed: int,
  ):
    self._task, self._config = task, config
    self._split, self._seed = split, seed
    self._block = functools.lru_cache(maxsize=4)(self._draw)

  def read(self, index: int) -> documents.Document | None:
    game = self._block(index // _BLOCK)[index % _BLOCK]
    rng = np.random.default_rng([self._seed, 1, index])
    tree = search(game, self._config, rng)
    thought = thoughts.from_tree(tree)
    if thoughts.answer(thought) is None:
      return None
    tokenizer = self._task.tokenizer
    response = [*tokenizer.encode(thought), tokenizer.eos_id]
    if not self._task.has_room(response):
      return None
    prompt = tokenizer.encode(tree["state"] + "\n")
    return documents.of((prompt, False), (response, True))

  def _draw(self, block: int) -> list[games.Game]:
    rng = np.random.default_rng([self._seed, 0, block])
    source = self._task.source
    return games.of(source, source.sample_numpy(rng, _BLOCK, self._split))


def search(
  game: games.Game, config: TraceConfig, rng: np.random.Generator
) -> dict[str, Any]:
  """Return the tree of one search; `rng` draws of which kind it is."""
  searcher = _SEARCHERS[rng.integers(len(_SEARCHERS))]
  names = list(game.heuristics)
  return searcher(
    game,
    names[rng.integers(len(names))],
    rng,
    width=int(rng.integers(config.min_width, config.max_width + 1)),
    max_visits=config.max_visits,
  )
