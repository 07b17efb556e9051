"""The trees of all moves of some episodes, kept as they are searched."""

from typing import Any

import jax
import numpy as np

from alphallm.search import context as context_lib
from alphallm.search import play, tree_search
from alphallm.tasks import base
from alphallm.viewer import tree_data


class Recorder:
  """Keeps, as data, the trees of B problems, of which the first are wanted.

  Attributes:
    moves: of each problem, the trees of its moves so far; see `tree_data`.
  """

  def __init__(self, task: base.Task, problems: Any, count: int | None = None):
    """Begin with nothing.

    Args:
      task: where the problems come from.
      problems: `[B, ...]`.
      count: how many are wanted; None for all.
    """
    self._task = task
    self._context = jax.vmap(lambda p: context_lib.initial(task, p))(problems)
    batch = self._context.lengths.shape[0]
    self.moves: list[list[dict[str, Any]]] = [
      [] for _ in range(batch if count is None else count)
    ]
    self._over = np.asarray(jax.vmap(task.init)(problems).terminated)
    self._trace: play.Trace | None = None

  def add(self, move: tree_search.Move, trace: play.Trace) -> None:
    """Keep what a search found, and where the episodes stand after it."""
    texts = np.asarray(self._context.tokens)
    lengths = np.asarray(self._context.lengths)
    decode = self._task.tokenizer.decode
    for row, moves in enumerate(self.moves):
      if self._over[row]:
        continue
      line = jax.tree.map(lambda x, row=row: np.asarray(x[row]), move.line)
      moves.append(
        tree_data.tree_data(
          move.tree,
          row,
          self._task.tokenizer,
          context=decode(texts[row, : lengths[row]]),
          played=line.actions[: line.length],
        )
      )
    self._context, self._trace = trace.context, trace
    self._over = np.asarray(trace.state.terminated)

  def side(self, row: int, name: str) -> dict[str, Any]:
    """Return the episode of a problem as one side of a page; see `page`."""
    outcome, text = "", ""
    if self._trace is not None:
      episode = jax.tree.map(
        lambda x: np.asarray(x[row]), self._trace.episode
      )
      count = int(episode.num_steps)
      steps = zip(episode.steps, episode.step_lengths, strict=True)
      text = "".join(
        self._task.tokenizer.decode(step[:length])
        for step, length in list(steps)[:count]
      )
      outcome = "solved" if episode.solved else "not solved"
      outcome = outcome if self._over[row] else "not over"
    return {
      "name": name,
      "outcome": outcome,
      "played": text,
      "moves": self.moves[row],
    }
