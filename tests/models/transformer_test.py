import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import trees
import unoptimized

from alphallm.models import attention, rope, transformer

SMALL = transformer.TransformerConfig(
  vocab_size=11,
  num_layers=2,
  embed_dim=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=6,
  mlp_dim=24,
)
OPTIONS = {
  "plain": {},
  "bias": {"attention_bias": True},
  "qk_norm": {"query_key_norm": True},
  "untied": {"tie_embeddings": False},
  "geglu": {"mlp": "geglu"},
  "relu2": {"mlp": "relu2"},
  "multi_head": {"num_kv_heads": 4},
  "theta": {"rope_theta": 100.0},
  "llama3": {"rope_scaling": rope.Llama3(8.0, 1.0, 4.0, 16)},
  "gemma": {
    "mlp": "geglu",
    "query_key_norm": True,
    "local_layers": (1,),
    "window": 4,
    "local_rope_theta": 10.0,
    "rope_scaling": rope.Linear(2.0),
    "query_scalar": 9,
    "attention_cap": 1.5,
    "logit_cap": 2.0,
    "scale_embeddings": True,
    "norm_offset": True,
    "post_norms": True,
  },
  "everything": {
    "attention_bias": True,
    "query_key_norm": True,
    "tie_embeddings": False,
    "mlp": "relu2",
  },
}


@functools.cache
def network(**options):
  """Return a small network, jitted, and random parameters, none of them 0."""
  config = dataclasses.replace(SMALL, **options)
  apply_fn, params = random_transformer.make(config, scale=0.3, seed=1)
  return unoptimized.jit(apply_fn), params


def tokens_like(*shape, seed=0):
  return np.random.default_rng(seed).integers(0, 11, shape).astype(np.int32)


def places(tokens, start=0):
  start = np.asarray(start, np.int32)
  return np.broadcast_to(start + np.arange(tokens.shape[-1]), tokens.shape)


def reference(config, params, tokens):
  """One pass over `[C]` tokens in NumPy float64; logits and value logits."""
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)["params"]
  c, d = config, config.head_dim

  def norm(x, name, room=p):
    x = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + c.norm_eps)
    return x * (room[name]["scale"] + c.norm_offset)

  def dense(x, leaves):
    return x @ leaves["kernel"] + leaves.get("bias", 0.0)

  def rotate(x, local):
    theta = c.local_rope_theta if local else c.rope_theta
    speed = theta ** (-np.arange(0, d, 2) / d)
    if c.rope_scaling is not None and not local:
      speed = c.rope_scaling(speed)
    angle = np.arange(len(x))[:, None] * speed
    z = (x[..., : d // 2] + 1j * x[..., d // 2 :]) * np.exp(1j * angle[:, None])
    return np.concatenate([z.real, z.imag], axis=-1)

  def cap(x, limit):
    return x if limit is None else limit * np.tanh(x / limit)

  x = p["embed"]["embedding"][tokens]
  x = x * np.sqrt(c.embed_dim) if c.scale_embeddings else x
  for i in range(c.num_layers):
    layer, local = p[f"layer_{i}"], i in c.local_layers
    h = norm(x, "attention_norm", layer)
    q = dense(h, layer["query"]).reshape(-1, c.num_heads, d)
    k = dense(h, layer["key"]).reshape(-1, c.num_kv_heads, d)
    v = dense(h, layer["value"]).reshape(-1, c.num_kv_heads, d)
    if c.query_key_norm:
      q, k = norm(q, "query_norm", layer), norm(k, "key_norm", layer)
    q, k = rotate(q, local), rotate(k, local)
    group = c.num_heads // c.num_kv_heads
    heads = []
    for j in range(c.num_heads):
      scores = q[:, j] @ k[:, j // group].T / np.sqrt(c.query_scalar or d)
      scores = cap(scores, c.attention_cap)
      scores[np.triu_indices(len(x), 1)] = -np.inf
      if local:
        scores[np.tril_indices(len(x), -c.window)] = -np.inf
      weights = np.exp(scores - scores.max(-1, keepdims=True))
      weights /= weights.sum(-1, keepdims=True)
      heads.append(weights @ v[:, j // group])
    h = dense(np.concatenate(heads, -1), layer["output"])
    x = x + (norm(h, "attention_post_norm", layer) if c.post_norms else h)
    h = norm(x, "mlp_norm", layer)
    up = dense(h, layer["up"])
    if c.mlp == "relu2":
      h = np.maximum(up, 0) ** 2
    else:
      g = dense(h, layer["gate"])
      if c.mlp == "swiglu":
        g = g / (1 + np.exp(-g))
      else:  # GELU, by its usual approximation
        g = 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3)))
      h = g * up
    h = dense(h, layer["down"])
    x = x + (norm(h, "mlp_post_norm", layer) if c.post_norms else h)
  x = norm(x, "final_norm")
  if c.tie_embeddings:
    logits = x @ p["embed"]["embedding"].T
  else:
    logits = dense(x, p["lm_head"])
  return cap(logits, c.logit_cap), dense(x, p["value_head"])[..., 0]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_pass_against_numpy(name):
  apply_fn, params = network(**OPTIONS[name])
  tokens = tokens_like(2, 1, 9)
  output = apply_fn(params, tokens, places(tokens))
  config = dataclasses.replace(SMALL, **OPTIONS[name])
  for b in range(2):
    logits, values = reference(config, params, tokens[b, 0])
    np.testing.assert_allclose(output.logits[b, 0], logits, atol=2e-5)
    np.testing.assert_allclose(output.value_logits[b, 0], values, atol=2e-5)


@pytest.mark.parametrize("name", ["plain", "everything", "gemma"])
def test_segments_equal_one_pass(name):
  """Prompt, two pages, an own buffer and the span, as in a search."""
  apply_fn, params = network(**OPTIONS[name])
  b, k = 2, 3
  prompt, page, other = (tokens_like(b, 1, n, seed=n) for n in (5, 4, 3))
  own, span = tokens_like(b, k, 2, seed=7), tokens_like(b, k, 3, seed=8)
  # How much of each shared part counts differs between the problems; the rest
  # is padding, and the tokens after it move up.
  lengths = {"prompt": (5, 3), "page": (4, 2), "other": (3, 0)}
  segments, start = [], np.zeros(b, np.int32)
  shared = (("prompt", prompt), ("page", page), ("other", other))
  for part, tokens in shared:
    output = apply_fn(
      params,
      tokens,
      places(tokens) + start[:, None, None],
      segments=tuple(segments),
    )
    length = np.asarray(lengths[part])
    held = np.arange(tokens.shape[-1])[None] < length[:, None]
    segments.append(
      attention.Segment(
        kv=jax.tree.map(lambda x: np.asarray(x)[:, 0], output.kv),
        mask=held[:, None, None],
      )
    )
    start = start + length
  first = apply_fn(
    params, own, places(own) + start[:, None, None], segments=tuple(segments)
  )
  # The mask of a segment of each span's own may differ by span and token.
  mask = np.ones((b, k, 3, 2), bool)
  segments.append(attention.Segment(kv=first.kv, mask=mask))
  found = apply_fn(
    params,
    span,
    places(span) + start[:, None, None] + 2,
    segments=tuple(segments),
  )
  for row in range(b):
    parts = [x[row, 0, : lengths[part][row]] for part, x in shared]
    for j in range(k):
      whole = np.concatenate([*parts, own[row, j], span[row, j]])
      n = len(whole)
      whole = np.pad(whole, (0, 17 - n))[None, None]
      plain = apply_fn(params, whole, places(whole))
      near = functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)
      near(found.logits[row, j], plain.logits[0, 0, n - 3 : n])
      near(found.value_logits[row, j], plain.value_logits[0, 0, n - 3 : n])
      jax.tree.map(
        lambda axis, kv, expected, row=row, j=j, n=n, near=near: near(
          kv[row, j],
          np.take(expected[0, 0], range(n - 3, n), axis=axis),
        ),
        attention.token_axes(found.kv),
        found.kv,
        plain.kv,
      )


@pytest.mark.parametrize("remat", ["", "full"])
def test_layers_in_a_loop_are_the_same_layers(remat):
  config = dataclasses.replace(SMALL, num_layers=4, remat=remat)
  model = transformer.PolicyValueTransformer(config)
  _, params = random_transformer.make(config, scale=0.3)
  rng = np.random.default_rng(0)
  prompt = rng.integers(1, 11, (2, 1, 6))
  spans = rng.integers(1, 11, (2, 3, 4))

  def loss(model, params):
    """Return a loss of spans that attend to a prompt, and all that is said."""
    first = model.apply(params, prompt, places(prompt))
    seen = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], first.kv),
      mask=jnp.ones((2, 1, 1, 6), bool),
    )
    output = model.apply(params, spans, places(spans) + 6, segments=[seen])
    return jnp.mean(jnp.square(output.logits)), output

  one_by_one, in_loop = (
    unoptimized.jit(
      jax.value_and_grad(
        functools.partial(loss, transformer.learning(model, scan_layers)),
        has_aux=True,
      )
    )
    for scan_layers in (False, True)
  )
  trees.assert_near(in_loop(params), one_by_one(params))
  rolled, unrolled = (
    f.lower(params).compile().as_text().count(" dot(")
    for f in (in_loop, one_by_one)
  )
  assert rolled < 0.5 * unrolled
  config = dataclasses.replace(SMALL, local_layers=(0,), window=2)
  with pytest.raises(ValueError, match="scan_layers=True needs layers that"):
    transformer.learning(transformer.PolicyValueTransformer(config), True)


@pytest.mark.parametrize("remat", ["", "full"])
def test_layers_alike_are_traced_once(monkeypatch, remat):
  config = dataclasses.replace(SMALL, num_layers=4, remat=remat)
  apply_fn, params = random_transformer.make(config, scale=0.3)
  traced, attend = [], attention.attend

  def count(*args, **kwargs):
    traced.append(1)
    return attend(*args, **kwargs)

  monkeypatch.setattr(attention, "attend", count)
  # Of a length that no other test has: what it traces is kept.
  tokens = jnp.zeros((1, 1, 13), jnp.int32)
  jax.eval_shape(apply_fn, params, tokens, tokens)
  assert len(traced) == 1


def test_causality_by_zero_gradients():
  apply_fn, params = network()
  embedding = params["params"]["embed"]["embedding"]
  # Tokens that occur once: the gradient of a row is that of its place.
  tokens = np.arange(9, dtype=np.int32)[None, None]

  def outputs(rows, place):
    changed = {"params": {**params["params"], "embed": {"embedding": rows}}}
    output = transformer.PolicyValueTransformer(SMALL).apply(
      changed, tokens, places(tokens)
    )
    # Logits of unused tokens: with tied embeddings the others are read too.
    return (
      output.logits[0, 0, place, 9:].sum() + output.value_logits[0, 0, place]
    )

  gradient = unoptimized.jit(jax.grad(outputs))
  for place in 0, 4, 8:
    size = np.abs(gradient(embedding, place)).sum(-1)[:9]
    assert np.all(size[: place + 1] > 0)
    assert np.all(size[place + 1 :] == 0)


def test_spans_and_problems_do_not_see_each_other():
  apply_fn, params = network()
  tokens = tokens_like(2, 3, 5)
  changed = tokens.copy()
  changed[0, 1] = (changed[0, 1] + 1) % 11
  a = apply_fn(params, tokens, places(tokens)).logits
  b = apply_fn(params, changed, places(tokens)).logits
  same = np.all(a == b, axis=(2, 3))
  assert same.tolist() == [[True, False, True], [True, True, True]]


def test_depends_on_relative_positions_only():
  apply_fn, params = network()
  tokens = tokens_like(1, 1, 6)
  outputs = [
    apply_fn(params, tokens, places(tokens, start)) for start in (0, 1, 100)
  ]
  for output in outputs[1:]:
    np.testing.assert_allclose(output.logits, outputs[0].logits, atol=1e-4)
  stretched = apply_fn(params, tokens, 3 * places(tokens))
  assert np.max(np.abs(stretched.logits - outputs[0].logits)) > 1e-3


def test_read():
  apply_fn, params = network()
  tokens = tokens_like(2, 3, 5)
  read = tokens_like(2, 3, 2) % 5
  every = apply_fn(params, tokens, places(tokens))
  some = apply_fn(params, tokens, places(tokens), read=read)
  assert some.logits.shape == (2, 3, 2, 11)
  for b, k, r in np.ndindex(2, 3, 2):
    at = read[b, k, r]
    np.testing.assert_allclose(
      some.logits[b, k, r], every.logits[b, k, at], atol=1e-6
    )
    np.testing.assert_allclose(
      some.value_logits[b, k, r], every.value_logits[b, k, at], atol=1e-6
    )


def test_bfloat16():
  apply_fn, params = network(dtype="bfloat16")
  tokens = tokens_like(2, 1, 9)
  output = apply_fn(params, tokens, places(tokens))
  assert output.logits.dtype == output.value_logits.dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves(output.kv)} == {
    jnp.dtype("bfloat16")
  }
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  apply_fn, _ = network()
  exact = apply_fn(params, tokens, places(tokens))
  error = np.abs(output.logits - exact.logits).max()
  assert 0 < error < 0.05 * np.abs(exact.logits).max()
  _, params = network(param_dtype="bfloat16")
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def test_value_starts_at_one_half():
  params = unoptimized.jit(transformer.init_params, static_argnums=0)(
    SMALL, jax.random.key(0)
  )
  apply_fn, _ = network()
  tokens = tokens_like(2, 1, 9)
  output = apply_fn(params, tokens, places(tokens))
  assert np.all(output.value_logits == 0)
  assert np.any(output.logits != 0)


def test_shapes_of_a_large_model():
  config = transformer.TransformerConfig(
    vocab_size=151_936,
    num_layers=28,
    embed_dim=1024,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    mlp_dim=3072,
    query_key_norm=True,
  )
  params = jax.eval_shape(
    lambda key: transformer.init_params(config, key), jax.random.key(0)
  )
  size = sum(x.size for x in jax.tree.leaves(params))
  # Qwen3-0.6B has 596,049,920, and there is no value head in it.
  assert size == 596_049_920 + 1025


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_heads": 4, "num_kv_heads": 3}, "num_heads=4 is not a multiple of"),
    ({"head_dim": 5}, "head_dim=5 is odd"),
    ({"mlp": "gelu"}, "mlp='gelu' is none of"),
    ({"local_layers": (2,), "window": 4}, "are not all among the 2 layers"),
    ({"local_layers": (1,)}, "need a window"),
    ({"remat": "dots"}, "remat='dots' is none of full, dots_saveable"),
  ],
)
def test_bad_configs(options, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SMALL, **options)
