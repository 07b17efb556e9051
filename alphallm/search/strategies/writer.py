"""Writing paths: their ways on are sampled, judged and scored.

What all strategies share, with `reader`. All paths of all problems are written
side by side, and paths that are over cost nothing.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import tokenizer, types
from alphallm.models import network
from alphallm.search import candidates as candidates_lib
from alphallm.search import context as context_lib
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.strategies import reader as reader_lib
from alphallm.search.strategies.settings import Settings as Settings
from alphallm.search.truncation import IMPOSSIBLE
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class Writer:
  """Writes the paths of a strategy.

  Attributes:
    apply_fn: the network, see `alphallm.models.network`.
    params: of the network.
    task: the environment.
    settings: how steps are sampled.
    guidance: what scores paths.
    plays: whether every step is played at once, as there is one path only: what
      the environment answers is then known, whatever may be asked.
  """

  apply_fn: network.Network
  params: Any
  task: base.Task
  settings: Settings
  guidance: guidance_lib.Guidance
  plays: bool = False

  @property
  def sees(self) -> bool:
    """Whether legality, observations and ends are known."""
    return self.plays or self.settings.permission != "nothing"

  @property
  def reader(self) -> reader_lib.Reader:
    return reader_lib.Reader(self.apply_fn, self.params, self.task, self.sees)

  def layer(
    self,
    ground: paths_lib.Ground,
    rng_keys: chex.PRNGKey,
    frontier: paths_lib.Frontier,
    score: Callable[..., tuple[paths_lib.Path, types.Cost]] | None = None,
  ) -> tuple[paths_lib.Frontier, paths_lib.Children, types.Cost]:
    """Return the scored children of all open paths.

    Args:
      ground: what the paths begin with.
      rng_keys: `[B]` keys (consumed).
      frontier: the paths.
      score: another way to score, which sees `(frontier, children)`, the
        network having read the children; `None`: by the guidance.

    Returns:
      The frontier, all of it read; its children; what was spent.
    """
    cost = types.Cost.zeros(rng_keys.shape[0])
    reads_first = self.guidance.needs_value or score is not None
    if not reads_first:
      frontier, cost = self.reader.catch_up(ground, frontier)
    children, spent = self.propose(ground, rng_keys, frontier)
    cost = cost + spent
    if reads_first:
      children, spent = self.reader.read_children(
        ground, frontier, children, self.guidance
      )
      cost = cost + spent
    if score is None:
      path = self.score(children.path)
    else:
      path, spent = score(frontier, children)
      cost = cost + spent
    return frontier, children.replace(path=path), cost

  def propose(
    self,
    ground: paths_lib.Ground,
    rng_keys: chex.PRNGKey,
    frontier: paths_lib.Frontier,
  ) -> tuple[paths_lib.Children, types.Cost]:
    """Sample K ways on from every open path; see `paths.Children`."""
    task, settings, k = self.task, self.settings, self.settings.num_candidates
    old = frontier.path
    batch, width = old.over.shape
    keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(
      rng_keys, jnp.arange(width)
    )

    def sample(keys, frontier):
      return candidates_lib.sample(
        self.apply_fn,
        self.params,
        keys,
        frontier.logits,
        frontier.place,
        self.reader.segments(ground, frontier),
        num_candidates=k,
        max_step_tokens=task.max_step_tokens,
        stop_ids=task.stop_ids,
        noise=settings.noise,
        distinct=settings.distinct,
        temperature=settings.candidate_temperature,
        truncation=settings.truncation,
        active=~frontier.path.over,
      )

    # Paths come first in memory, or each token would turn all keys over.
    turned = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (keys, frontier))
    steps, decoded = jax.vmap(sample, 0, 1)(*turned)
    cost = types.Cost(
      decoded=jnp.sum(decoded, axis=1),
      prefilled=jnp.zeros((batch,), jnp.int32),
      model_calls=jnp.max(jnp.maximum(steps.lengths - 1, 0), axis=(1, 2)),
      nodes=jnp.zeros((batch,), jnp.int32),
    )
    steps = jax.tree.map(
      lambda x: x.reshape(batch, width * k, *x.shape[3:]), steps
    )
    parent = jnp.broadcast_to(
      jnp.arange(width * k)[None] // k, (batch, width * k)
    )
    path, unread = jax.vmap(jax.vmap(self._child))(
      paths_lib.take(old, parent), steps
    )
    is_spare = path.over & paths_lib.take(old.over, parent)
    is_spare &= (jnp.arange(width * k) % k > 0)[None]
    return (
      paths_lib.Children(
        path=paths_lib.reject(path, is_spare), parent=parent, unread=unread
      ),
      cost,
    )

  def _child(
    self, old: paths_lib.Path, step: candidates_lib.Candidates
  ) -> tuple[paths_lib.Path, types.Context]:
    """Return one path after one step, and what the network has yet to read."""
    task, checks = self.task, self.settings.checks
    tokens, length = step.tokens, step.lengths
    state = task.step(old.state, tokens, length)
    wrong = step.log_probs <= IMPOSSIBLE / 2
    if self.sees:
      over = state.terminated
      wrong |= ~state.legal
    else:
      over = task.ends(tokens, length) | (old.num_steps + 1 >= task.max_steps)
    value = old.value
    if checks:
      wrong |= over & (state.reward <= 0)
      value = jnp.where(over, state.reward, value)
    new = old.replace(
      state=state,
      tokens=old.tokens.at[old.num_steps].set(tokens, mode="drop"),
      lengths=old.lengths.at[old.num_steps].set(length, mode="drop"),
      num_steps=old.num_steps + 1,
      log_prob=old.log_prob + step.log_probs,
      value=value,
      score=jnp.where(wrong, IMPOSSIBLE, 0.0),
      over=over | wrong,
    )
    added = context_lib.added(
      task, state, tokens, length, sees_observation=self.sees
    )
    # What is over is read only to be judged.
    judged = self.guidance.needs_value and not checks
    wanted = ~old.over & ~wrong & (~over | judged)
    unread = types.Context(
      tokens=jnp.where(wanted, added.tokens, tokenizer.PAD_ID),
      lengths=jnp.where(wanted, added.lengths, 0),
    )
    return paths_lib.where(old.over, old, new), unread

  def score(self, path: paths_lib.Path) -> paths_lib.Path:
    """Return the paths with the guidance's scores."""
    if self.guidance.needs_answer:
      path = self.with_answers(path)
    score = self.guidance.score(path)
    if self.settings.checks:
      score = jnp.where(path.over & path.solved, paths_lib.CERTAIN, score)
    return path.replace(score=jnp.where(path.lives, score, IMPOSSIBLE))

  def with_answers(self, path: paths_lib.Path) -> paths_lib.Path:
    """Return the paths with the answers of those that have come to an end."""
    answer = jax.vmap(jax.vmap(self.task.answer))(path.state)
    return path.replace(answer=jnp.where(self.ended(path), answer, 0))

  def ended(self, path: paths_lib.Path) -> chex.Array:
    """Return which paths have come to an end, and were not cut off, `[B, W]`.

    As far as it is known: to `nothing` a text of most steps is like any other.
    """
    return path.finished & ~(path.state.truncated & self.sees)
