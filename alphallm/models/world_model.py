"""A world model: where a step leads and what it earns, in embeddings.

In the form of MuZero (Schrittwieser et al., 2020) it is the dynamics function:
from the embedding of a state and a step to the embedding of the next state and
the reward. The representation is the policy's own table of embeddings, its
prediction function is the policy: it reads a state that is embedded as it reads
text. So an embedding here is a row for each token of the state, a mixture of
the rows of that table. The policy knows what such rows mean, and a state that
is foreseen surely is nearly text, however many steps ahead.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from alphallm.models import rope, transformer


@chex.dataclass(frozen=True)
class Foresight:
  """What is foreseen behind a step, `[B, ...]` float32 logits.

  Attributes:
    tokens: `[O, V]`, of the next state.
    length: `[O]`, of the number of its tokens, 1 first.
    legal: `[]`, whether the rules allow the step.
    over: `[]`, whether the next state is an end.
    reward: `[]`, of the step; its sigmoid is the reward, in [0, 1].
  """

  tokens: chex.Array
  length: chex.Array
  legal: chex.Array
  over: chex.Array
  reward: chex.Array

  def embedding(self, table: chex.Array) -> chex.Array:
    """Return the next state as mixtures of a table's rows, `[B, O, E]`.

    Args:
      table: `[V, E]`, see `transformer.embeddings`.
    """
    return jax.nn.softmax(self.tokens) @ table.astype(jnp.float32)

  @property
  def num_tokens(self) -> chex.Array:
    """Of the next state, `[B]` int32, at least 1."""
    return jnp.argmax(self.length, axis=-1).astype(jnp.int32) + 1


class WorldModel(nn.Module):
  """The layers of a policy, and queries behind a state and a step.

  It reads the O rows of the state, the T tokens of the step and O + 1 queries,
  of which the first is answered with reward and end, the others with a token
  each.

  Attributes:
    config: that of the policy's transformer.
    num_tokens: O, tokens of a state at most.
  """

  config: transformer.TransformerConfig
  num_tokens: int

  @nn.compact
  def __call__(
    self,
    state: chex.Array,
    lengths: chex.Array,
    steps: chex.Array,
    step_lengths: chex.Array,
  ) -> Foresight:
    """Foresee where B steps lead.

    Args:
      state: `[B, O, E]`, embeddings of states.
      lengths: `[B]` int32, rows of each.
      steps: `[B, T]` int32.
      step_lengths: `[B]` int32.
    """
    c, size = self.config, self.num_tokens
    chex.assert_shape(state, (None, size, c.embed_dim))
    batch, most = steps.shape
    step = nn.Embed(
      c.vocab_size,
      c.embed_dim,
      embedding_init=nn.initializers.normal(0.02),
      dtype=c.dtype,
      param_dtype=c.param_dtype,
      name="embed",
    )(steps)
    queries = self.param(
      "queries",
      nn.initializers.normal(0.02),
      (size + 1, c.embed_dim),
      c.param_dtype,
    ).astype(c.dtype)
    queries = jnp.broadcast_to(queries[None], (batch, *queries.shape))
    x = jnp.concatenate([state.astype(c.dtype), step, queries], axis=1)
    if c.scale_embeddings:
      x = x * jnp.asarray(c.embed_dim**0.5, x.dtype)
    # As packed documents: what is padding is of another text.
    is_there = jnp.concatenate(
      [
        jnp.arange(size)[None] < lengths[:, None],
        jnp.arange(most)[None] < step_lengths[:, None],
        jnp.ones((batch, size + 1), bool),
      ],
      axis=1,
    )
    x, documents = x[:, None], is_there[:, None].astype(jnp.int32)
    places = jnp.broadcast_to(jnp.arange(x.shape[2]), documents.shape)
    rotation = rope.rotation(places, c.head_dim, c.rope_theta, c.rope_scaling)
    for layer in range(c.num_layers):
      block = transformer.Block(c, name=f"layer_{layer}")
      x, _ = block(x, rotation, (), documents)
    x = transformer.RMSNorm(c, name="final_norm")(x[:, 0, -size - 1 :])
    head = lambda count, name: nn.Dense(
      count, dtype=c.dtype, param_dtype=c.param_dtype, name=name
    )
    length = head(size, "length_head")(x[:, 0]).astype(jnp.float32)
    said = head(3, "outcome_head")(x[:, 0]).astype(jnp.float32)
    tokens = head(c.vocab_size, "token_head")(x[:, 1:]).astype(jnp.float32)
    return Foresight(
      tokens=tokens,
      length=length,
      legal=said[:, 0],
      over=said[:, 1],
      reward=said[:, 2],
    )


def init_params(
  model: WorldModel, rng_key: chex.PRNGKey, policy: Any = None
) -> Any:
  """Return parameters; `rng_key` is consumed.

  Args:
    model: whose they are.
    rng_key: draws them.
    policy: parameters of the policy, whose layers and embeddings it begins
      with; `None`: all are random.
  """
  one = jnp.ones((1,), jnp.int32)
  state = jnp.zeros((1, model.num_tokens, model.config.embed_dim))
  params = model.init(rng_key, state, one, one[None], one)
  if policy is None:
    return params
  shared = {
    name: policy["params"][name]
    for name in params["params"]
    if name in policy["params"]
  }
  return {"params": params["params"] | shared}
