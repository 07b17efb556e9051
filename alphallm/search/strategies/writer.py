"""Writing paths: their ways on are sampled, read by the network, and scored.

What all strategies share. The network passes every token once: the prompt for
all paths of a problem, each step for the path that it is kept for. All paths of
all problems are written side by side, and paths that are over cost nothing.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import tokenizer, types
from alphallm.models import attention, network
from alphallm.search import candidates as candidates_lib
from alphallm.search import context as context_lib
from alphallm.search.search_config import Permission
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.truncation import IMPOSSIBLE, Truncation
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class Settings:
  """How steps are sampled, and what may be asked; see `SearchConfig`."""

  num_candidates: int = 4  # K, ways on from a path
  permission: Permission = "checker"
  noise: bool = True  # steps are sampled; else the K most probable
  distinct: bool = True  # without replacement; else independently
  candidate_temperature: float = 1.0  # of the tokens sampled
  top_k: int = 0  # tokens that may be sampled; 0: all
  top_p: float = 1.0  # their share of the probability
  min_p: float = 0.0  # their least probability, of the greatest

  def __post_init__(self):
    if self.permission not in ("nothing", "rules", "checker"):
      raise ValueError(
        f"permission={self.permission!r} is none of nothing, rules, checker"
      )
    if self.num_candidates < 1:
      raise ValueError(f"num_candidates={self.num_candidates} is too small")
    if self.candidate_temperature <= 0:
      raise ValueError(
        f"candidate_temperature={self.candidate_temperature} is not above 0"
      )
    if not (self.distinct or self.noise):
      raise ValueError("candidates that are not distinct need noise")
    _ = self.truncation  # refuses what is out of range

  @property
  def truncation(self) -> Truncation:
    return Truncation(top_k=self.top_k, top_p=self.top_p, min_p=self.min_p)

  @property
  def checks(self) -> bool:
    return self.permission == "checker"


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
  def _resets(self) -> bool:
    return self.task.context == "reset"

  def ground(self, problems: Any) -> tuple[paths_lib.Ground, types.Cost]:
    """Read the prompts of B problems."""
    state = jax.vmap(self.task.init)(problems)
    begin = functools.partial(context_lib.initial, self.task)
    context = jax.vmap(begin)(problems)
    active = ~state.terminated
    tokens = jnp.where(active[:, None], context.tokens, tokenizer.PAD_ID)
    places = jnp.arange(context.tokens.shape[1])[None]
    output = self.apply_fn(
      self.params,
      tokens[:, None],
      jnp.broadcast_to(places[:, None], tokens[:, None].shape),
      read=(context.lengths - 1)[:, None, None],
    )
    spent = active.astype(jnp.int32)
    ground = paths_lib.Ground(
      state=state,
      prompt=attention.Segment(
        kv=jax.tree.map(lambda x: x[:, 0], output.kv),
        mask=(places < context.lengths[:, None])[:, None, None],
      ),
      length=context.lengths,
      logits=output.logits[:, 0, 0],
      value=jax.nn.sigmoid(output.value_logits[:, 0, 0]),
    )
    cost = types.Cost(
      decoded=jnp.zeros_like(spent),
      prefilled=context.lengths * spent,
      model_calls=spent,
      nodes=spent,
    )
    return ground, cost

  def begin(
    self, ground: paths_lib.Ground, width: int, num_open: int
  ) -> paths_lib.Frontier:
    """Return W places, of which the first `num_open` hold empty paths."""
    task, batch = self.task, ground.length.shape[0]
    d, t = task.max_steps, task.max_step_tokens
    spread = lambda x: jnp.broadcast_to(
      x[:, None], (batch, width, *x.shape[1:])
    )
    is_open = jnp.broadcast_to(
      jnp.arange(width)[None] < num_open, (batch, width)
    )
    zeros = jnp.zeros((batch, width), jnp.int32)
    state = jax.tree.map(spread, ground.state)
    path = paths_lib.Path(
      state=state,
      tokens=jnp.zeros((batch, width, d, t), jnp.int32),
      lengths=jnp.zeros((batch, width, d), jnp.int32),
      num_steps=zeros,
      log_prob=jnp.zeros((batch, width)),
      value=spread(ground.value),
      answer=zeros.astype(jnp.uint32),
      score=jnp.where(is_open, 0.0, IMPOSSIBLE),
      over=~is_open | state.terminated,
    )
    if self._resets:
      added = task.max_observation_tokens
      kv = jax.tree.map(spread, ground.prompt.kv)
    else:
      added = t + task.max_observation_tokens * self.sees
      empty = lambda x: jnp.zeros(
        (batch, width, *x.shape[1:-2], d * added, x.shape[-1]), x.dtype
      )
      kv = jax.tree.map(empty, ground.prompt.kv)
    return paths_lib.Frontier(
      path=path,
      logits=spread(ground.logits),
      place=spread(ground.length),
      kv=kv,
      unread=types.Context(
        tokens=jnp.zeros((batch, width, added), jnp.int32), lengths=zeros
      ),
    )

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
      frontier, cost = self.catch_up(ground, frontier)
    children, spent = self.propose(ground, rng_keys, frontier)
    cost = cost + spent
    if reads_first:
      children, spent = self.read_children(ground, frontier, children)
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
        self._segments(ground, frontier),
        num_candidates=k,
        max_step_tokens=task.max_step_tokens,
        stop_ids=task.stop_ids,
        noise=settings.noise,
        distinct=settings.distinct,
        temperature=settings.candidate_temperature,
        truncation=settings.truncation,
        active=~frontier.path.over,
      )

    steps, decoded = jax.vmap(sample, 1, 1)(keys, frontier)
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

  def read_children(
    self,
    ground: paths_lib.Ground,
    frontier: paths_lib.Frontier,
    children: paths_lib.Children,
  ) -> tuple[paths_lib.Children, types.Cost]:
    """Pass the tokens of all children, before any is chosen."""
    batch, width = frontier.place.shape
    grouped = jax.tree.map(
      lambda x: x.reshape(batch, width, -1, *x.shape[2:]), children.unread
    )
    read, cost = self._pass(ground, frontier, grouped)
    read = jax.tree.map(lambda x: x.reshape(batch, -1, *x.shape[3:]), read)
    path = children.path
    value = jnp.where(read.lengths > 0, read.value, path.value)
    return children.replace(path=path.replace(value=value), read=read), cost

  def catch_up(
    self, ground: paths_lib.Ground, frontier: paths_lib.Frontier
  ) -> tuple[paths_lib.Frontier, types.Cost]:
    """Pass what has not been read yet of the paths of a frontier."""
    over, unread = frontier.path.over, frontier.unread
    unread = types.Context(
      tokens=jnp.where(over[..., None], tokenizer.PAD_ID, unread.tokens),
      lengths=jnp.where(over, 0, unread.lengths),
    )

    def read(frontier):
      spans = jax.tree.map(lambda x: x[:, :, None], unread)
      read, cost = self._pass(ground, frontier, spans)
      read = jax.tree.map(lambda x: x[:, :, 0], read)
      path = frontier.path
      value = jnp.where(read.lengths > 0, read.value, path.value)
      frontier = self._append(ground, frontier, read)
      return frontier.replace(path=path.replace(value=value)), cost

    return jax.lax.cond(
      jnp.any(unread.lengths > 0),
      read,
      lambda frontier: (frontier, types.Cost.zeros(over.shape[0])),
      frontier,
    )

  def adopt(
    self,
    ground: paths_lib.Ground,
    frontier: paths_lib.Frontier,
    children: paths_lib.Children,
    index: chex.Array,
  ) -> paths_lib.Frontier:
    """Return a frontier of the children at `[B, W']`."""
    chosen = paths_lib.take(children, index)
    behind = paths_lib.take(frontier, chosen.parent)
    frontier = behind.replace(path=chosen.path, unread=chosen.unread)
    if chosen.read is None:
      return frontier
    return self._append(ground, frontier, chosen.read)

  def _segments(self, ground, frontier) -> list[attention.Segment]:
    """Return what new tokens of one path of each problem attend to."""
    begin = jnp.zeros_like(ground.length) if self._resets else ground.length
    room = jax.tree.leaves(frontier.kv)[0].shape[attention.TOKENS]
    held = jnp.arange(room)[None] < (frontier.place - begin)[:, None]
    own = attention.Segment(kv=frontier.kv, mask=held[:, None, None])
    return [own] if self._resets else [ground.prompt, own]

  def _pass(self, ground, frontier, spans):
    """Pass spans `[B, W, K, S]` that follow the paths of a frontier."""

    def one(frontier, spans):
      start = jnp.zeros_like(frontier.place) if self._resets else frontier.place
      offsets = jnp.arange(spans.tokens.shape[-1])[None]
      places = (start[:, None] + offsets)[:, None]
      return self.apply_fn(
        self.params,
        spans.tokens,
        jnp.broadcast_to(places, spans.tokens.shape),
        segments=() if self._resets else self._segments(ground, frontier),
        read=jnp.maximum(spans.lengths - 1, 0)[..., None],
      )

    output = jax.vmap(one, 1, 1)(frontier, spans)
    is_read = spans.lengths > 0
    count = lambda x: jnp.sum(x, axis=(1, 2)).astype(jnp.int32)
    read = paths_lib.Read(
      logits=output.logits[..., 0, :],
      value=jax.nn.sigmoid(output.value_logits[..., 0]),
      kv=output.kv,
      lengths=spans.lengths,
    )
    cost = types.Cost(
      decoded=jnp.zeros_like(ground.length),
      prefilled=count(spans.lengths),
      model_calls=jnp.any(is_read, axis=(1, 2)).astype(jnp.int32),
      nodes=count(is_read),
    )
    return read, cost

  def _append(self, ground, frontier, read):
    """Return the frontier with what was read behind each path."""
    begin = ground.length[:, None]
    if self._resets:
      used = start = jnp.zeros_like(frontier.place)
    else:
      start, used = frontier.place, frontier.place - begin
    room = jax.tree.leaves(frontier.kv)[0].shape[attention.TOKENS]
    offsets = jnp.arange(jax.tree.leaves(read.kv)[0].shape[attention.TOKENS])
    is_token = offsets[None, None] < read.lengths[..., None]
    places = jnp.where(is_token, used[..., None] + offsets[None, None], room)
    is_read = read.lengths > 0
    write = jax.vmap(attention.put, 1, 1)
    return frontier.replace(
      logits=paths_lib.where(is_read, read.logits, frontier.logits),
      place=jnp.where(is_read, start + read.lengths, frontier.place),
      kv=jax.tree.map(lambda x, y: write(x, y, places), frontier.kv, read.kv),
      unread=frontier.unread.replace(
        lengths=jnp.zeros_like(frontier.unread.lengths)
      ),
    )
