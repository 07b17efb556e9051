"""The policy/value transformer: a decoder-only model with a value head."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from alphallm import parts
from alphallm.models import attention, network, rope, window

# What is kept of a layer that is passed again for its gradients.
_REMAT = {
  "full": jax.checkpoint_policies.nothing_saveable,
  "dots_saveable": jax.checkpoint_policies.dots_saveable,
  "dots_with_no_batch_dims_saveable": (
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable
  ),
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
  """Shape of a `PolicyValueTransformer`; Llama, Qwen and Gemma fit in it."""

  vocab_size: int
  num_layers: int = 3
  embed_dim: int = 64
  num_heads: int = 4
  num_kv_heads: int = 4  # fewer than num_heads: grouped-query attention
  head_dim: int = 16
  mlp_dim: int = 192
  mlp: str = "swiglu"  # "swiglu", "geglu", or "relu2" without a gate
  rope_theta: float = 10_000.0
  rope_scaling: rope.Scaling | None = None  # see `alphallm.models.rope`
  local_layers: tuple[int, ...] = ()  # these see the last `window` tokens only
  window: int | None = None
  local_rope_theta: float | None = None  # unscaled; None: as other layers
  query_scalar: int | None = None  # 1/sqrt of it scales scores; None: head_dim
  attention_cap: float | None = None  # scores lie in ±cap, by tanh
  logit_cap: float | None = None  # and so do the logits
  scale_embeddings: bool = False  # by sqrt(embed_dim)
  norm_offset: bool = False  # norms scale by 1 + their parameter
  post_norms: bool = False  # norms behind attention and MLP too
  norm_eps: float = 1e-6
  attention_bias: bool = False  # on queries, keys and values
  query_key_norm: bool = False
  tie_embeddings: bool = True
  max_context: int | None = None  # tokens that it was made for, if known
  dtype: str = "float32"  # of the computation
  param_dtype: str = "float32"  # of the parameters
  remat: str = ""  # "full" or a policy of `jax.checkpoint_policies`, by which
  # layers are passed again for their gradients; "": they are not

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
    if self.remat and self.remat not in _REMAT:
      raise ValueError(f"remat={self.remat!r} is none of {', '.join(_REMAT)}")
    if not all(0 <= layer < self.num_layers for layer in self.local_layers):
      raise ValueError(
        f"local_layers={self.local_layers} are not all among the"
        f" {self.num_layers} layers"
      )
    if self.local_layers and not self.window:
      raise ValueError("local_layers need a window")


class RMSNorm(nn.Module):
  """Root-mean-square normalisation (Zhang and Sennrich, 2019), in float32."""

  config: TransformerConfig

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    c = self.config
    init = nn.initializers.zeros if c.norm_offset else nn.initializers.ones
    scale = self.param("scale", init, (x.shape[-1],), c.param_dtype)
    x = x.astype(jnp.float32)
    x = x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + c.norm_eps)
    scale = scale.astype(jnp.float32) + c.norm_offset
    scale = jnp.expand_dims(scale, tuple(range(x.ndim - 1)))
    return (x * scale).astype(c.dtype)


class Block(nn.Module):
  """One pre-norm layer: attention over segments, then the MLP.

  Attributes:
    config: of the transformer.
    local: whether attention ends at the window.
  """

  config: TransformerConfig
  local: bool = False

  def _dense(self, features: int, name: str, use_bias: bool = False):
    """Return a product with a kernel, `[..., d] -> [..., features]`.

    Tokens stand in one axis there: a CPU turns gradients of several axes over
    before it multiplies them, which took a fifth of a step of learning.
    """
    dense = nn.Dense(
      features,
      use_bias=use_bias,
      dtype=self.config.dtype,
      param_dtype=self.config.param_dtype,
      name=name,
    )
    return lambda x: dense(x.reshape(-1, x.shape[-1])).reshape(
      *x.shape[:-1], features
    )

  @nn.compact
  def __call__(self, x, rotation, segments, documents=None):
    c = self.config
    spans = x.shape[:-1]
    norm = lambda name: RMSNorm(c, name=name)
    h = norm("attention_norm")(x)
    heads = lambda n, name: self._dense(
      n * c.head_dim, name, use_bias=c.attention_bias
    )(h).reshape(*spans, n, c.head_dim)
    queries = heads(c.num_heads, "query")
    keys = heads(c.num_kv_heads, "key")
    values = heads(c.num_kv_heads, "value")
    if c.query_key_norm:
      queries = norm("query_norm")(queries)
      keys = norm("key_norm")(keys)
    if c.query_scalar is not None:  # `attend` takes 1/sqrt(head_dim)
      queries = queries * (c.head_dim / c.query_scalar) ** 0.5
    queries = attention.rotate(queries, rotation)
    keys = attention.rotate(keys, rotation)
    kv = attention.KeysValues(
      keys=jnp.moveaxis(keys, -3, -1), values=jnp.swapaxes(values, -3, -2)
    )
    h = attention.attend(
      queries,
      kv,
      segments,
      cap=c.attention_cap,
      window=c.window if self.local else None,
      documents=documents,
    )
    h = self._dense(c.embed_dim, "output")(h.reshape(*spans, -1))
    x = x + (norm("attention_post_norm")(h) if c.post_norms else h)

    h = norm("mlp_norm")(x)
    if c.mlp == "relu2":
      h = jnp.square(nn.relu(self._dense(c.mlp_dim, "up")(h)))
    else:
      gate = nn.silu if c.mlp == "swiglu" else nn.gelu
      h = gate(self._dense(c.mlp_dim, "gate")(h)) * self._dense(
        c.mlp_dim, "up"
      )(h)
    h = self._dense(c.embed_dim, "down")(h)
    return x + (norm("mlp_post_norm")(h) if c.post_norms else h), kv


# By `remat`; traced and lowered once, for all layers alike.
_TRACED_ONCE = {"": nn.jit(Block)} | {
  name: nn.jit(nn.remat(Block, policy=policy))
  for name, policy in _REMAT.items()
}


def _collected(module: type[nn.Module], after: chex.Array) -> type[nn.Module]:
  """Return a module whose split parameters are collected after an array."""
  return nn.map_variables(
    module, "params", functools.partial(parts.after, array=after)
  )


def _loop(config, params, x, rotation, segments, documents):
  """Pass layers that are alike in a loop; return as they do one by one."""
  count = range(config.num_layers)
  layers = parts.side_by_side([params[f"layer_{i}"] for i in count])
  held = [
    jax.tree.map(lambda *kv: jnp.stack(kv), *segment.kv) for segment in segments
  ]

  def pass_one(x, one):
    params, held = one
    pairs = [(kv, s.mask) for kv, s in zip(held, segments, strict=True)]
    return Block(config).apply(
      {"params": params}, x, rotation, pairs, documents
    )

  if config.remat:
    pass_one = jax.checkpoint(
      pass_one, policy=_REMAT[config.remat], prevent_cse=False
    )
  x, kv = jax.lax.scan(pass_one, x, (layers, held))
  return x, [jax.tree.map(lambda x, i=i: x[i], kv) for i in count]


class PolicyValueTransformer(nn.Module):
  """A causal language model with a value for every prefix.

  Tokens come as K spans of length S for each of B problems; a span attends to
  itself, causally, and to the segments of the cache.

  Attributes:
    config: its shape.
    in_loop: whether layers are passed in one loop, over parameters that are put
      side by side for it, see `learning`.
  """

  config: TransformerConfig
  in_loop: bool = False

  @nn.compact
  def __call__(
    self,
    tokens: chex.Array,
    positions: chex.Array,
    *,
    segments: Sequence[attention.Segment] = (),
    read: chex.Array | None = None,
    documents: chex.Array | None = None,
  ) -> network.Output:
    """Pass over the spans.

    Args:
      tokens: `[B, K, S]` int32, or `[B, K, S, E]` their embeddings. Padding
        stands at the right end only.
      positions: `[B, K, S]` int32, place of each token in its own context.
      segments: what the spans attend to besides themselves, in the order of
        the context; a window counts the tokens that masks admit.
      read: `[B, K, R]` int32, at which of the S tokens logits and values are
        wanted; `None`: at all.
      documents: `[B, K, S]` int32, for spans in which several texts are packed:
        which of them each token is of. `None`: a span is one text.
    """
    c = self.config
    chex.assert_rank([tokens, positions], [{3, 4}, 3])
    is_split = bool(parts.axes(self.variables))
    when = lambda module, x: _collected(module, x) if is_split else module
    embed = when(nn.Embed, tokens)(
      c.vocab_size,
      c.embed_dim,
      embedding_init=nn.initializers.normal(0.02),
      dtype=c.dtype,
      param_dtype=c.param_dtype,
      name="embed",
    )
    x = tokens.astype(c.dtype) if tokens.ndim == 4 else embed(tokens)
    if c.scale_embeddings:
      x = x * jnp.asarray(c.embed_dim**0.5, x.dtype)
    rotation = rope.rotation(
      positions, c.head_dim, c.rope_theta, c.rope_scaling
    )
    local_rotation = rotation
    if c.local_rope_theta is not None:
      local_rotation = rope.rotation(positions, c.head_dim, c.local_rope_theta)
    near = segments
    if c.local_layers:
      near = window.narrow(segments, positions.shape[-1], c.window)
    # Within `jit` Flax draws other random numbers.
    block = Block if self.is_initializing() else _TRACED_ONCE[c.remat]
    cache, in_loop = [], self.in_loop and not self.is_initializing()
    for layer in range(0 if in_loop else c.num_layers):
      local = layer in c.local_layers
      x, kv = when(block, x)(c, local, name=f"layer_{layer}")(
        x,
        local_rotation if local else rotation,
        [segment.layer(layer) for segment in (near if local else segments)],
        documents,
      )
      cache.append(kv)
    if in_loop:
      layers = self.variables["params"]
      x, cache = _loop(c, layers, x, rotation, segments, documents)
    if read is not None:
      x = jnp.take_along_axis(x, read[..., None], axis=2)
    x = RMSNorm(c, name="final_norm")(x)
    if c.tie_embeddings:
      logits = embed.attend(x)
    else:
      logits = when(nn.Dense, x)(
        c.vocab_size,
        use_bias=False,
        dtype=c.dtype,
        param_dtype=c.param_dtype,
        name="lm_head",
      )(x)
    logits = logits.astype(jnp.float32)
    if c.logit_cap is not None:
      logits = c.logit_cap * jnp.tanh(logits / c.logit_cap)
    value = when(nn.Dense, x)(
      1,
      dtype=c.dtype,
      param_dtype=c.param_dtype,
      kernel_init=nn.initializers.zeros_init(),
      name="value_head",
    )(x)
    return network.Output(
      logits=logits,
      value_logits=value[..., 0].astype(jnp.float32),
      kv=tuple(cache),
    )


def learning(
  model: PolicyValueTransformer, scan_layers: bool
) -> PolicyValueTransformer:
  """Return a model as it is passed where it learns.

  In a loop over layers one is compiled for all, and each has its gradient
  before that of the next is begun: a deep network split over devices holds one
  layer whole. For it the parameters are copied, in the parts that devices hold.
  Where tokens are decoded one by one a copy would be most of the work.

  Args:
    model: of the run.
    scan_layers: whether layers are passed in a loop.

  Raises:
    ValueError: if they are to be, and are not alike.
  """
  if scan_layers and model.config.local_layers:
    raise ValueError(
      "scan_layers=True needs layers that are alike; some see a window only"
    )
  return model.clone(in_loop=scan_layers)


def init_params(config: TransformerConfig, rng_key: chex.PRNGKey):
  """Return random parameters; `rng_key` is consumed."""
  tokens = jnp.zeros((1, 1, 1), jnp.int32)
  model = PolicyValueTransformer(config)
  return model.init(rng_key, tokens, tokens)


def embeddings(params: Any) -> chex.Array:
  """Return the table of the tokens' embeddings, `[V, E]`."""
  return params["params"]["embed"]["embedding"]
