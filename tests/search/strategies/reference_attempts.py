"""The strategies that refine attempts, in plain Python, a problem at a time."""

import dataclasses

import jax
import numpy as np
import reference_strategies


@dataclasses.dataclass
class Attempt:
  """A path that is over in the end, and what lay behind it."""

  path: reference_strategies.Path
  behind: list
  scores: list
  tries: list
  parent: int


class Refiner(reference_strategies.Solver):
  """A solver that makes attempts, and refines them."""

  def attempts(self, width, rounds, choose):
    """Make attempts, and refine those of `choose(made, round)`; return all."""
    made, key = [], self.key
    for time in range(rounds):
      if self.solved([attempt.path for attempt in made]):
        break
      self.key = jax.random.fold_in(key, time)
      if time:
        new = [self._restart(made[i], i) for i in choose(made, time)]
      else:
        tries = [0] * self.task.max_steps
        scores = [self._share(self.root)]
        new = [
          Attempt(self.root, [], scores[:], tries[:], -1) for _ in range(width)
        ]
      step = 0
      while open_ := [
        (i, a.path) for i, a in enumerate(new) if not a.path.over
      ]:
        if not self.reads:
          self.read([p for _, p in open_ if p.read < len(p.context)])
        grown = self.children(open_, step, reads=self.reads)
        for (i, path), (child,) in zip(open_, grown, strict=True):
          new[i].behind.append(path)
          new[i].path = child
          new[i].scores.append(self._share(child))
        step += 1
      made += new
    self.key = key
    return made

  def _restart(self, old, index):
    falls = np.maximum(-np.diff(np.float32(old.scores)), 0) + np.float32(0.01)
    weights = falls / (1 + np.array(old.tries[: len(falls)]))
    at = int(np.argmax(weights))
    old.tries[at] += 1
    tries = [n if i <= at else 0 for i, n in enumerate(old.tries)]
    behind, scores = old.behind[:at], old.scores[: at + 1]
    return Attempt(old.behind[at], behind, scores, tries, index)

  def _share(self, path):
    self.score(path)
    return float(np.clip(path.score, 0, 1)) if path.lives else 0.0

  def highest_uct(self, made, time, max_children, exploration):
    """Return the attempt of the highest UCT (MCTSr), by recursion."""
    families = [
      [i for i, a in enumerate(made) if a.parent == j] for j in range(len(made))
    ]

    def own(i):
      scores = made[i].scores[1:]
      return (min(scores) + sum(scores) / len(scores)) / 2

    def worth(i):
      best = max(map(worth, families[i]), default=None)
      return own(i) if best is None else (own(i) + best) / 2

    def visits(i):
      return 1 + sum(map(visits, families[i]))

    def uct(i):
      above = i if made[i].parent < 0 else made[i].parent
      ratio = np.log(visits(above) + 1) / visits(i)
      return worth(i) + exploration * np.sqrt(ratio)

    def is_open(i):
      better = any(worth(j) > own(i) for j in families[i])
      return len(families[i]) < max_children or not better

    return [max(filter(is_open, range(len(made))), key=uct)]
