"""The trees of all moves of some episodes, kept as they are searched."""

from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax
import numpy as np

from alphallm.models import network
from alphallm.search import context as context_lib
from alphallm.search import moves as moves_lib
from alphallm.search import play, tree_search
from alphallm.tasks import base
from alphallm.viewer import page, trees

# As `search.moves` returns it.
Run = Callable[..., Iterator[tuple[tree_search.Move, play.Trace]]]


class Recorder:
  """Keeps, as data, the trees of B problems.

  Attributes:
    moves: of each problem, the trees of its moves so far; see `trees`.
  """

  def __init__(self, task: base.Task, problems: Any):
    """Begin with nothing.

    Args:
      task: where the problems come from.
      problems: `[B, ...]`.
    """
    self._task = task
    self._context = jax.vmap(lambda p: context_lib.initial(task, p))(problems)
    batch = self._context.lengths.shape[0]
    self.moves: list[list[dict[str, Any]]] = [[] for _ in range(batch)]
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
        trees.tree_data(
          move.tree,
          row,
          self._task.tokenizer,
          context=decode(texts[row, : lengths[row]]),
          played=line.actions[: line.length],
        )
      )
    self._context, self._trace = trace.context, trace
    self._over = np.asarray(trace.state.terminated)

  @property
  def rows(self) -> range:
    """The problems."""
    return range(len(self.moves))

  def side(
    self, row: int, name: str, outcome: str | None = None
  ) -> dict[str, Any]:
    """Return the episode of a problem as one side of a page; see `page`.

    Args:
      row: which problem.
      name: of the side.
      outcome: of the episode; None: what the task says.
    """
    said, text = "", ""
    if self._trace is not None:
      episode = jax.tree.map(lambda x: np.asarray(x[row]), self._trace.episode)
      count = int(episode.num_steps)
      steps = zip(episode.steps, episode.step_lengths, strict=True)
      text = "".join(
        self._task.tokenizer.decode(step[:length])
        for step, length in list(steps)[:count]
      )
      said = "solved" if episode.solved else "not solved"
      said = said if self._over[row] else "not over"
    return {
      "name": name,
      "outcome": said if outcome is None else outcome,
      "played": text,
      "moves": self.moves[row],
    }


def recorded(run: Run, task: base.Task, kept: list[Recorder]) -> Run:
  """Return a search that does what `run` does, and is recorded.

  Args:
    run: of `search.moves`.
    task: that is searched in.
    kept: where the recorder of each call goes.
  """

  def run_recorded(params, rng_keys, problems):
    recorder = Recorder(task, problems)
    kept.append(recorder)
    for move, trace in run(params, rng_keys, problems):
      try:
        yield move, trace
      finally:  # Also where the caller has seen enough.
        recorder.add(move, trace)

  return run_recorded


def compare(
  apply_fn: network.Network,
  task: base.Task,
  search: tree_search.SearchConfig,
  policies: dict[str, Any],
  rng_keys: chex.PRNGKey,
  problems: Any,
) -> dict[str, Any]:
  """Search the same problems by several policies, side by side on a page.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    search: how each move is searched.
    policies: parameters of the network, by the names of the sides.
    rng_keys: `[B]`, each policy gets the same.
    problems: `[B, ...]`.

  Returns:
    The data of a page, see `page`.
  """
  kept: list[Recorder] = []
  run = recorded(moves_lib.moves(apply_fn, task, search), task, kept)
  for params in policies.values():
    for _ in run(params, rng_keys, problems):
      pass
  batch = rng_keys.shape[0]
  return page.page_data(
    task.name,
    [
      task.describe(jax.tree.map(lambda x, i=i: x[i], problems))
      for i in range(batch)
    ],
    [
      [recorder.side(i, name) for i in range(batch)]
      for recorder, name in zip(kept, policies, strict=True)
    ],
  )
