import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import unoptimized

from alphallm import models, search, tasks
from alphallm.models import attention, network, transformer

CONFIG = transformer.TransformerConfig(
  vocab_size=19,
  num_layers=2,
  embed_dim=16,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  mlp_dim=16,
)


def cached_and_not():
  """Return a transformer with its cache, the same without, its parameters."""
  apply_fn, params = random_transformer.make(CONFIG, scale=0.5)

  def forward(params, tokens):
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    output = apply_fn(params, tokens[:, None], places[:, None])
    return output.logits[:, 0], output.value_logits[:, 0]

  return apply_fn, network.without_cache(forward), params


def test_is_the_network_with_its_cache():
  """A prompt, spans behind it, and a token behind those."""
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.integers(4, 19, shape), jnp.int32)
  prompt, spans, last = draw(2, 1, 5), draw(2, 3, 4), draw(2, 3, 1)
  lengths = jnp.array([5, 3])  # of the prompts
  start = lengths[:, None, None]
  seen = []
  for apply_fn in cached_and_not()[:2]:
    params = cached_and_not()[2]
    first = apply_fn(params, prompt, jnp.broadcast_to(jnp.arange(5), (2, 1, 5)))
    held = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], first.kv),
      mask=(jnp.arange(5)[None] < lengths[:, None])[:, None, None],
    )
    places = start + jnp.arange(4)[None, None]
    places = jnp.broadcast_to(places, (2, 3, 4))
    second = apply_fn(
      params,
      spans,
      places,
      segments=[held],
      read=jnp.broadcast_to(jnp.array([1, 2]), (2, 3, 2)),
    )
    own = attention.Segment(
      kv=second.kv, mask=jnp.broadcast_to(jnp.arange(4) < 3, (2, 3, 1, 4))
    )
    place = jnp.broadcast_to(start + 3, (2, 3, 1))
    third = apply_fn(params, last, place, segments=[held, own])
    seen.append([(x.logits, x.value_logits) for x in (first, second, third)])
  assert seen[0][1][0].shape == (2, 3, 2, 19)
  for cached, plain in zip(*seen, strict=True):
    # What stands behind the end of a short prompt is of no use.
    keep = lambda x: np.asarray(x)[0]
    for x, y in zip(cached, plain, strict=True):
      np.testing.assert_allclose(keep(x), keep(y), atol=2e-5)
  np.testing.assert_allclose(seen[0][2][0], seen[1][2][0], atol=2e-5)


def test_a_network_without_values_believes_one_half():
  apply_fn = models.without_cache(lambda params, tokens: params[tokens])
  tokens = jnp.array([[[3, 1]]])
  output = apply_fn(jnp.eye(4), tokens, jnp.array([[[0, 1]]]))
  np.testing.assert_array_equal(output.logits[0, 0], np.eye(4)[[3, 1]])
  np.testing.assert_array_equal(jax.nn.sigmoid(output.value_logits), 0.5)


@dataclasses.dataclass(frozen=True)
class Ids:
  """A tokenizer of nothing but ids."""

  vocab_size: int = 19
  eos_id: int = 3


@pytest.mark.parametrize("permission", ["nothing", "checker"])
def test_the_same_search_with_a_cache_and_without(permission):
  task = tasks.Text(
    tokenizer=Ids(),
    max_prompt_tokens=4,
    max_step_tokens=3,
    max_steps=3,
    delimiter_ids=(5, 6, 7),
    reward=lambda problem, tokens, length: (
      (jnp.sum(tokens) % 7 == problem.answer) & (length > 0)
    ),
  )
  problems = task.problems(
    [[4, 5], [8, 9, 10], [11, 12, 13, 14]], np.array([1, 2, 3])
  )
  *networks, params = cached_and_not()
  results = [
    unoptimized.jit(
      search.mcts(
        apply_fn,
        task,
        num_simulations=6,
        num_candidates=4,
        permission=permission,
      )
    )(params, jax.random.key(0), problems)
    for apply_fn in networks
  ]
  for name in "tokens", "solved", "candidates", "step":
    np.testing.assert_array_equal(*(getattr(x, name) for x in results))
  for name in "value", "policy":
    np.testing.assert_allclose(*(getattr(x, name) for x in results), atol=1e-4)
  jax.tree.map(np.testing.assert_array_equal, *(x.cost for x in results))
  np.testing.assert_array_equal(*(x.tree.node_visits for x in results))
