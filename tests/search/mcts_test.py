"""`search.mcts` as its users call it, on prompts and a network of their own."""

import dataclasses
import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_transformer
import toy_task
import unoptimized

from alphallm import search, tasks
from alphallm.models import transformer
from alphallm.search import tree_search

B, K = 4, 5
TASK = toy_task.Walk("append", max_steps=3)
PARAMS = jax.tree.map(
  jnp.asarray,
  fake_model.init_params(
    toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
  ),
)


def problems(seed=0):
  return TASK.sample_numpy(np.random.default_rng(seed), B)


def run(dials=None, traced=False, **settings):
  """Solve four walks; the dials are arguments of the program if traced."""
  settings = {"num_candidates": K, "max_depth": 3} | settings
  solve = search.mcts(fake_model.apply_fn, TASK, **settings)
  if traced:
    call = lambda problems, dials: solve(
      PARAMS, jax.random.key(0), problems, **dials
    )
    return unoptimized.jit(call)(problems(), dials)
  call = lambda problems: solve(
    PARAMS, jax.random.key(0), problems, **(dials or {})
  )
  return unoptimized.jit(call)(problems())


def test_dials_are_the_config_without_compiling_again():
  plain = run(num_simulations=6, candidate_temperature=2.0, play_solution=False)
  dials = {"num_simulations": 6, "temperature": 2.0}
  for traced in False, True:
    turned = run(dials, traced=traced, num_simulations=16, play_solution=False)
    np.testing.assert_array_equal(turned.tokens, plain.tokens)
    np.testing.assert_allclose(turned.value, plain.value, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, turned.cost, plain.cost)


def test_a_budget_for_each_problem():
  budget = jnp.array([2, 4, 8, 6])
  found = run(
    {"num_simulations": budget},
    traced=True,
    num_simulations=8,
    max_moves=1,
    play_solution=False,
  )
  visits = np.sum(found.tree.children_visits[:, 0], axis=-1)
  assert visits.tolist() == budget.tolist()


@pytest.mark.parametrize(
  "dials", [{"num_simulations": 9}, {"max_depth": 4}, {"num_simulations": -1}]
)
def test_dials_beyond_the_config_are_refused(dials):
  with pytest.raises(ValueError, match="is not 0 to the config's"):
    search.SearchConfig(num_simulations=8, max_depth=3).dials(**dials)


def test_one_move_gives_the_best_next_step():
  found = run(num_simulations=8, max_moves=1, permission="rules")
  assert np.all(np.asarray(found.episode.num_steps) == 1)
  whole = run(num_simulations=8, permission="rules")
  np.testing.assert_array_equal(found.step, whole.step)
  np.testing.assert_array_equal(found.policy, whole.policy)
  np.testing.assert_array_equal(found.candidates, whole.candidates)
  # The tree of the first move, whatever came after it.
  np.testing.assert_array_equal(found.tree.node_visits, whole.tree.node_visits)


def test_equal_draws_share_their_prior_in_a_search():
  """Sampled MuZero: the prior of a step is its share of the draws, times π/β.

  β is sharp, so that some are drawn twice.
  """
  temperature = 0.3

  def left_out(step):
    """Return log π - log β of a step from the first state."""
    context, total = toy_task.observe(toy_task.start(None)), 0.0
    for token in step:
      log_probs, _ = fake_model.reference(PARAMS, context)
      sampled = log_probs / temperature
      sampled -= np.logaddexp.reduce(sampled)
      total += log_probs[token] - sampled[token]
      context.append(token)
    return total

  found = run(
    num_simulations=4,
    max_moves=1,
    permission="nothing",
    distinct=False,
    candidate_temperature=temperature,
    policy=search.Puct(dirichlet_fraction=0.0, temperature=0.0),
  )
  tokens = np.asarray(found.tree.embeddings.tokens[:, 0])
  prior = np.asarray(
    jax.nn.softmax(found.tree.children_prior_logits[:, 0], axis=-1)
  )
  lengths = np.asarray(found.tree.embeddings.lengths[:, 0])
  repeated = 0
  for row in range(B):
    steps = [
      tuple(step[:n]) for step, n in zip(tokens[row], lengths[row], strict=True)
    ]
    weights = np.zeros(K)
    for k, step in enumerate(steps):
      weights[steps.index(step)] += np.exp(left_out(step))
      repeated += steps.index(step) != k
    np.testing.assert_allclose(prior[row], weights / weights.sum(), atol=1e-4)
  assert repeated


@dataclasses.dataclass(frozen=True)
class Ids:
  vocab_size: int = 19
  eos_id: int = 3


@functools.cache
def transformer_task():
  config = transformer.TransformerConfig(
    vocab_size=19,
    num_layers=2,
    embed_dim=16,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    mlp_dim=16,
  )
  task = tasks.Text(
    tokenizer=Ids(), max_prompt_tokens=6, max_step_tokens=3, max_steps=4
  )
  return task, *random_transformer.make(config, scale=0.5)


def transformer_move(**settings):
  task, apply_fn, params = transformer_task()
  settings = {
    "num_simulations": 8,
    "num_candidates": 4,
    "permission": "nothing",
    "noise": False,
  } | settings
  solve = search.mcts(apply_fn, task, max_moves=1, **settings)
  prompts = task.problems([[5, 6, 7], [8, 9, 10, 11, 12, 13]])
  return unoptimized.jit(solve)(params, jax.random.key(0), prompts)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_smaller_pages_lead_to_the_same_steps(dtype):
  whole, half = transformer_move(), transformer_move(page_dtype=dtype)
  np.testing.assert_allclose(half.value, whole.value, atol=5e-3)
  assert np.any(half.value != whole.value)
  np.testing.assert_array_equal(
    half.tree.embeddings.tokens[:, 0], whole.tree.embeddings.tokens[:, 0]
  )


def test_memory_is_known_before():
  task, apply_fn, params = transformer_task()
  prompts = task.problems([[5, 6, 7]] * 3)
  sizes = {}
  for dtype in "", "bfloat16", "int8":
    config = search.SearchConfig(
      num_simulations=8, permission="nothing", page_dtype=dtype
    )
    sizes[dtype] = search.memory(apply_fn, task, config, params, prompts)
  # Two layers of keys and values of one head of 8 numbers, 4 bytes each.
  token = 2 * 2 * 8 * 4
  pages = 3 * (8 + 1) * 3  # tokens; the page made last lies beside the pool
  lengths = 3 * (8 + 1 + 1) * 4  # of the pages, and which the last one is
  assert sizes[""]["prompt"] == 3 * (6 + 4 * 3) * (token + 1)  # and the mask
  assert sizes[""]["pages"] == pages * token + lengths
  assert sizes["bfloat16"]["pages"] == pages * token // 2 + lengths
  # A byte for each number, and 4 for each of the four scales of a token.
  small = 2 * 2 * (8 + 4)
  assert sizes["int8"]["pages"] == pages * small + lengths
  assert sizes["int8"]["prompt"] == 3 * (6 + 4 * 3) * (small + 1)
  assert sizes[""]["tree"] > 3 * 9 * 8 * 4


def test_what_is_longer_than_any_text_is_over():
  """A chain of single candidates grows out of the room that texts have."""
  room = 6 + 4 * 3
  chains = [
    transformer_move(num_candidates=1, cache=cache)
    for cache in ("pages", "recompute")
  ]
  for chain in chains:
    nodes = chain.tree.embeddings
    ended = np.any(nodes.tokens[..., 0, :] == Ids.eos_id)
    visited = np.asarray(chain.tree.node_visits) > 0
    assert not ended and visited.sum() >= 2 * 5
    too_long = np.asarray(nodes.context_length) > room
    np.testing.assert_array_equal(
      np.asarray(nodes.state.terminated)[visited], too_long[visited]
    )
    assert too_long[visited].any()
  for name in "node_values", "raw_values", "children_rewards":
    np.testing.assert_allclose(
      *(getattr(chain.tree, name) for chain in chains), atol=1e-5
    )


def test_page_types_are_known():
  with pytest.raises(ValueError, match="page_dtype='int3' is none of"):
    tree_search.SearchConfig(page_dtype="int3")


@pytest.mark.parametrize("kind", ["append", "reset"])
def test_wide_searches_keep_their_pages_apart(kind):
  """The same trees by pages and by recompute, each page that of its node."""
  task, drawn = toy_task.Walk(kind, max_steps=6), problems(2)
  drawn.legal[:], drawn.kind[:] = True, toy_task.OPEN  # games of six moves
  results = []
  for cache in "pages", "recompute":
    solve = search.mcts(
      fake_model.apply_fn,
      task,
      num_simulations=12,
      num_candidates=K,
      max_depth=3,
      width=4,
      permission="rules",
      cache=cache,
      carry_over=True,
    )
    results.append(unoptimized.jit(solve)(PARAMS, jax.random.key(1), drawn))
  pages, recompute = results
  np.testing.assert_array_equal(pages.tokens, recompute.tokens)
  np.testing.assert_allclose(pages.value, recompute.value, atol=1e-5)
  for name in "node_visits", "children_index", "children_visits":
    np.testing.assert_array_equal(*(getattr(x.tree, name) for x in results))
  visits = np.asarray(pages.tree.children_visits[:, 0]).sum(-1)
  assert visits.tolist() == [12] * B
  assert np.max(pages.cost.nodes) > 24  # several moves were searched


def test_what_is_decided_costs_no_more_and_plays_the_same():
  policy = search.Puct(dirichlet_fraction=0.0, temperature=0.0)
  settings = {
    "num_simulations": 16,
    "max_moves": 1,
    "play_solution": False,
    "policy": policy,
  }
  whole, decided = run(**settings), run(stop_decided=True, **settings)
  np.testing.assert_array_equal(decided.step, whole.step)
  visits = np.asarray(decided.tree.children_visits[:, 0])
  assert np.all(visits.sum(-1) <= 16) and np.any(visits.sum(-1) < 16)
  assert np.all(decided.cost.nodes <= whole.cost.nodes)
