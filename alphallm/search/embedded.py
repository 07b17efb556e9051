"""A task in embeddings: a world model in place of the environment.

As MuZero searches (Schrittwieser et al., 2020): below the root no state is
text, and nothing is asked of the environment. What a search asks of a task the
model answers, from the embedding of a state and a step; the policy reads
embeddings where it would read text. `tasks.Imagination` is the same with states
that are written out.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp

from alphallm import types
from alphallm.models import world_model
from alphallm.tasks import base, hashing, stand_in


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Embedded(stand_in.StandIn):
  """States whose observations are embeddings, `[O, E]` float32.

  A step is legal, an end, or a solution if the model finds that more likely
  than not; and the episode ends at the cap of steps.

  Attributes:
    task: what is foreseen; its context is reset.
    foresee: of B states, `(embeddings, lengths, steps, their lengths)`, a
      `world_model.Foresight`; its parameters may be traced.
    table: `[V, E]`, the policy's embeddings of tokens; may be traced.

  Raises:
    ValueError: if the task's context is not reset: a state does not tell then
      what the policy reads.
  """

  foresee: Callable[..., world_model.Foresight]
  table: Any

  name: ClassVar[str] = "embedded"

  def __post_init__(self):
    if self.task.context != "reset":
      raise ValueError(
        f"{self.task.name}: a world model foresees states, and the policy reads"
        " more than these where the context appends; reset the context"
      )

  def enter(self, state: types.State) -> types.State:
    """Return a state of the task, embedded; its steps are counted anew."""
    return state.replace(
      observation=self.table[state.observation].astype(jnp.float32),
      held_out=jnp.zeros_like(state.held_out),
      inner=jnp.zeros((), jnp.int32),
    )

  def reads(self, state: types.State) -> types.Context:
    """Return what the policy reads at B states that are embedded."""
    return types.Context(
      tokens=state.observation, lengths=state.observation_length
    )

  def init(self, problem):
    return self.enter(self.task.init(problem))

  def step(self, state, tokens, length):
    one = lambda x: x[None]
    given = state.observation, state.observation_length, tokens, length
    seen = self.foresee(*map(one, given))
    legal = (seen.legal[0] > 0) & (length > 0)
    solved = legal & (seen.reward[0] > 0)
    ends = solved | (seen.over[0] > 0)
    taken = state.inner + 1
    truncated = legal & ~ends & (taken >= self.max_steps)
    text = jnp.argmax(seen.tokens[0], axis=-1).astype(jnp.uint32)
    places = jnp.arange(text.shape[0], dtype=jnp.uint32)
    is_there = places < seen.num_tokens[0].astype(jnp.uint32)
    hashed = jnp.where(is_there, hashing.mix(text, places), 0)
    after = types.State(
      legal=legal,
      observation=seen.embedding(self.table)[0],
      observation_length=seen.num_tokens[0],
      terminated=~legal | ends | truncated,
      truncated=truncated,
      reward=solved.astype(jnp.float32),
      fingerprint=jnp.sum(hashed, dtype=jnp.uint32),
      held_out=jnp.zeros((), bool),
      inner=taken,
    )
    return base.unless_over(state, after)
