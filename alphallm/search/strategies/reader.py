"""Reading: the network passes every token of all paths once.

The prompt once for all paths of a problem, each step for the path that it is
kept for; keys and values of what was read lie with the path.
"""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import parts, tokenizer, types
from alphallm.models import attention, network
from alphallm.rewards import formulas
from alphallm.search import context as context_lib
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.search.strategies import paths as paths_lib
from alphallm.search.truncation import IMPOSSIBLE
from alphallm.tasks import base


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads the paths of a strategy.

  Attributes:
    apply_fn: the network, see `alphallm.models.network`.
    params: of the network.
    task: the environment.
    sees: whether what it answers is in the context.
  """

  apply_fn: network.Network
  params: Any
  task: base.Task
  sees: bool

  @property
  def _resets(self) -> bool:
    return self.task.context == "reset"

  def ground(self, problems: Any) -> tuple[paths_lib.Ground, types.Cost]:
    """Read the prompts of B problems."""
    state = jax.vmap(self.task.init)(problems)
    begin = functools.partial(context_lib.initial, self.task)
    context = jax.vmap(begin)(problems)
    if not self._resets:  # what follows lies with the paths
      room = self.task.max_prompt_tokens
      context = context.replace(tokens=context.tokens[:, :room])
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
      belief=jnp.full((batch, width), 0.5),
      answer=zeros.astype(jnp.uint32),
      score=jnp.where(is_open, 0.0, IMPOSSIBLE),
      over=~is_open | state.terminated,
    )
    if self._resets:
      added = task.max_observation_tokens
      kv = jax.tree.map(spread, ground.prompt.kv)
    else:
      added = t + task.max_observation_tokens * self.sees
      # A path of D steps is over: nothing attends to its last.
      room = (d - 1) * added
      kv = attention.empty(ground.prompt.kv, room, between=(width,))
    return paths_lib.Frontier(
      path=path,
      logits=spread(ground.logits),
      place=spread(ground.length),
      kv=kv,
      unread=types.Context(
        tokens=jnp.zeros((batch, width, added), jnp.int32), lengths=zeros
      ),
    )

  def read_children(
    self,
    ground: paths_lib.Ground,
    frontier: paths_lib.Frontier,
    children: paths_lib.Children,
    guidance: guidance_lib.Guidance,
  ) -> tuple[paths_lib.Children, types.Cost]:
    """Pass the tokens of all children, before any is chosen.

    Behind them the network is asked what the guidance wants to know.
    """
    batch, width = frontier.place.shape
    grouped = jax.tree.map(
      lambda x: x.reshape(batch, width, -1, *x.shape[2:]), children.unread
    )
    over = children.path.over.reshape(batch, width, -1)
    asks = (grouped.lengths > 0) & (over | (not guidance.needs_end))
    read, cost = self._pass(ground, frontier, grouped, guidance.question, asks)
    read = jax.tree.map(lambda x: x.reshape(batch, -1, *x.shape[3:]), read)
    path, is_read = children.path, read.lengths > 0
    path = path.replace(
      value=jnp.where(is_read, read.value, path.value),
      belief=jnp.where(is_read, read.belief, path.belief),
    )
    return children.replace(path=path, read=read), cost

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
      parts.anywhere(self.params, jnp.any(unread.lengths > 0)),
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

  def segments(
    self, ground: paths_lib.Ground, frontier: paths_lib.Frontier
  ) -> list[attention.Segment]:
    """Return what new tokens of one path of each problem attend to."""
    begin = jnp.zeros_like(ground.length) if self._resets else ground.length
    room = attention.num_tokens(frontier.kv)
    held = jnp.arange(room)[None] < (frontier.place - begin)[:, None]
    own = attention.Segment(kv=frontier.kv, mask=held[:, None, None])
    if self._resets:
      return [own]
    return [ground.prompt, own] if room else [ground.prompt]

  def _pass(self, ground, frontier, spans, question=None, asks=None):
    """Pass spans `[B, W, K, S]` that follow the paths of a frontier.

    Args:
      ground: what the paths begin with.
      frontier: the paths.
      spans: the tokens, and how many they are.
      question: what is asked behind those that `asks` `[B, W, K]` bool names.
      asks: None if nothing is asked.
    """
    size, whole = spans.tokens.shape[-1], spans
    last = jnp.maximum(spans.lengths - 1, 0)[..., None]
    if question is not None:
      behind = types.Context(
        tokens=jnp.asarray(question.tokens, jnp.int32),
        lengths=jnp.int32(len(question.tokens)),
      )
      whole = _followed(spans, behind, asks)
      last = jnp.concatenate([last, whole.lengths[..., None] - 1], axis=-1)
      last = jnp.maximum(last, 0)

    def one(frontier, whole, last):
      start = jnp.zeros_like(frontier.place) if self._resets else frontier.place
      offsets = jnp.arange(whole.tokens.shape[-1])[None]
      places = (start[:, None] + offsets)[:, None]
      return self.apply_fn(
        self.params,
        whole.tokens,
        jnp.broadcast_to(places, whole.tokens.shape),
        segments=() if self._resets else self.segments(ground, frontier),
        read=last,
      )

    output = jax.vmap(one, 1, 1)(frontier, whole, last)
    is_read = spans.lengths > 0
    count = lambda x: jnp.sum(x, axis=(1, 2)).astype(jnp.int32)
    belief = jnp.full(is_read.shape, 0.5)
    if question is not None:
      said = output.logits[..., 1, :]
      sure = formulas.verdict(said, [question.yes], [question.no])
      belief = jnp.where(asks, sure, belief)
    read = paths_lib.Read(
      logits=output.logits[..., 0, :],
      value=jax.nn.sigmoid(output.value_logits[..., 0]),
      belief=belief,
      kv=jax.tree.map(
        lambda axis, x: jax.lax.slice_in_dim(x, 0, size, axis=axis),
        attention.token_axes(output.kv),
        output.kv,
      ),
      lengths=spans.lengths,
    )
    cost = types.Cost(
      decoded=jnp.zeros_like(ground.length),
      prefilled=count(whole.lengths),
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
    room = attention.num_tokens(frontier.kv)
    offsets = jnp.arange(attention.num_tokens(read.kv))
    is_token = offsets[None, None] < read.lengths[..., None]
    places = jnp.where(is_token, used[..., None] + offsets[None, None], room)
    is_read = read.lengths > 0
    return frontier.replace(
      logits=paths_lib.where(is_read, read.logits, frontier.logits),
      place=jnp.where(is_read, start + read.lengths, frontier.place),
      kv=jax.vmap(attention.put, 1, 1)(frontier.kv, read.kv, places),
      unread=frontier.unread.replace(
        lengths=jnp.zeros_like(frontier.unread.lengths)
      ),
    )


def _followed(
  spans: types.Context, behind: types.Context, asks: chex.Array
) -> types.Context:
  """Return spans `[..., S]` that are followed by other tokens `[S']`.

  Args:
    spans: the tokens, and how many they are.
    behind: what follows.
    asks: `[...]` bool, where it does.
  """

  def one(span, asks):
    more = behind.replace(lengths=jnp.where(asks, behind.lengths, 0))
    room = jnp.pad(span.tokens, (0, behind.tokens.shape[0]))
    return types.Context(
      tokens=context_lib.write(room, span.lengths, more),
      lengths=span.lengths + more.lengths,
    )

  return jax.vmap(jax.vmap(jax.vmap(one)))(spans, asks)
