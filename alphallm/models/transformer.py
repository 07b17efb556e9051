"""The policy/value transformer: a Llama-shaped decoder with a value head."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from alphallm.models import attention, network


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Shape of a `PolicyValueTransformer`; Llama, Qwen and SmolLM fit in it."""

  vocab_size: int
  num_layers: int = 3
  embed_dim: int = 64
  num_heads: int = 4
  num_kv_heads: int = 4  # fewer than num_heads: grouped-query attention
  head_dim: int = 16
  mlp_dim: int = 192
  mlp: str = "swiglu"  # "swiglu", "geglu", or "relu2" without a gate
  rope_theta: float = 10_000.0
  norm_eps: float = 1e-6
  attention_bias: bool = False  # on queries, keys and values
  query_key_norm: bool = False
  tie_embeddings: bool = True
  dtype: str = "float32"  # of the computation
  param_dtype: str = "float32"  # of the parameters

  def __post_init__(self):
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
        f"num_heads={self.num_heads} is not a multiple of "
        f"num_kv_heads={self.num_kv_heads}"
      )
    if self.head_dim % 2:
      raise ValueError(f"head_dim={self.head_dim} is odd; RoPE needs pairs")
    if self.mlp not in ("swiglu", "geglu", "relu2"):
      raise ValueError(f"mlp={self.mlp!r} is none of swiglu, geglu, relu2")


class RMSNorm(nn.Module):
  """Root-mean-square normalisation (Zhang and Sennrich, 2019), in float32."""

  eps: float
  dtype: Any
  param_dtype: Any

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    scale = self.param(
      "scale", nn.initializers.ones_init(), (x.shape[-1],), self.param_dtype
    )
    x = x.astype(jnp.float32)
    x = x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + self.eps)
    scale = jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
    return (x * scale).astype(self.dtype)


class Block(nn.Module):
  """One pre-norm layer: attention over segments, then the MLP."""

  config: TransformerConfig

  def _dense(self, features: int, name: str, use_bias: bool = False):
    return nn.Dense(
      features,
      use_bias=use_bias,
      dtype=self.config.dtype,
      param_dtype=self.config.param_dtype,
      name=name,
    )

  def _norm(self, name: str):
    c = self.config
    return RMSNorm(c.norm_eps, c.dtype, c.param_dtype, name=name)

  @nn.compact
  def __call__(self, x, rotation, segments):
    c = self.config
    spans = x.shape[:-1]
    h = self._norm("attention_norm")(x)
    heads = lambda n, name: self._dense(
      n * c.head_dim, name, use_bias=c.attention_bias
    )(h).reshape(*spans, n, c.head_dim)
    queries = heads(c.num_heads, "query")
    keys = heads(c.num_kv_heads, "key")
    values = heads(c.num_kv_heads, "value")
    if c.query_key_norm:
      queries = self._norm("query_norm")(queries)
      keys = self._norm("key_norm")(keys)
    queries = attention.rotate(queries, rotation)
    keys = attention.rotate(keys, rotation)
    kv = tuple(jnp.swapaxes(x, -3, -2) for x in (keys, values))
    h = attention.attend(queries, kv, segments)
    x = x + self._dense(c.embed_dim, "output")(h.reshape(*spans, -1))

    h = self._norm("mlp_norm")(x)
    if c.mlp == "relu2":
      h = jnp.square(nn.relu(self._dense(c.mlp_dim, "up")(h)))
    else:
      gate = nn.silu if c.mlp == "swiglu" else nn.gelu
      h = gate(self._dense(c.mlp_dim, "gate")(h)) * self._dense(
        c.mlp_dim, "up"
      )(h)
    return x + self._dense(c.embed_dim, "down")(h), kv


class PolicyValueTransformer(nn.Module):
  """A causal language model with a value for every prefix.

  Tokens come as K spans of length S for each of B problems; a span attends to
  itself, causally, and to the segments of the cache.
  """

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    tokens: chex.Array,
    positions: chex.Array,
    *,
    segments: Sequence[attention.Segment] = (),
    read: chex.Array | None = None,
  ) -> network.Output:
    """Pass over the spans.

    Args:
      tokens: `[B, K, S]` int32. Padding stands at the right end only.
      positions: `[B, K, S]` int32, place of each token in its own context.
      segments: what the spans attend to besides themselves.
      read: `[B, K, R]` int32, at which of the S tokens logits and values are
        wanted; `None`: at all.
    """
    c = self.config
    chex.assert_rank([tokens, positions], 3)
    embed = nn.Embed(
      c.vocab_size,
      c.embed_dim,
      embedding_init=nn.initializers.normal(0.02),
      dtype=c.dtype,
      param_dtype=c.param_dtype,
      name="embed",
    )
    x = embed(tokens)
    rotation = attention.rotation(positions, c.head_dim, c.rope_theta)
    cache = []
    for layer in range(c.num_layers):
      x, kv = Block(c, name=f"layer_{layer}")(
        x, rotation, [segment.layer(layer) for segment in segments]
      )
      cache.append(kv)
    if read is not None:
      x = jnp.take_along_axis(x, read[..., None], axis=2)
    x = RMSNorm(c.norm_eps, c.dtype, c.param_dtype, name="final_norm")(x)
    if c.tie_embeddings:
      logits = embed.attend(x)
    else:
      logits = nn.Dense(
        c.vocab_size,
        use_bias=False,
        dtype=c.dtype,
        param_dtype=c.param_dtype,
        name="lm_head",
      )(x)
    value = nn.Dense(
      1,
      dtype=c.dtype,
      param_dtype=c.param_dtype,
      kernel_init=nn.initializers.zeros_init(),
      name="value_head",
    )(x)
    return network.Output(
      logits=logits.astype(jnp.float32),
      value_logits=value[..., 0].astype(jnp.float32),
      kv=tuple(cache),
    )


def init_params(config: TransformerConfig, rng_key: chex.PRNGKey):
  """Return random parameters; `rng_key` is consumed."""
  tokens = jnp.zeros((1, 1, 1), jnp.int32)
  model = PolicyValueTransformer(config)
  return model.init(rng_key, tokens, tokens)
