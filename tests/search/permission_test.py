"""What a search may ask of the environment, and what it makes of that."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import toy_searches as shared
import toy_task

from alphallm.search import candidates


def hidden(task, *names):
  """Return a task whose steps answer with lies in some fields."""

  class Lying(type(task)):
    def step(self, state, tokens, length):
      after = super().step(state, tokens, length)
      return after.replace(
        **{name: jnp.zeros_like(getattr(after, name)) for name in names}
      )

  return Lying(task.context, task.max_steps)


def test_nothing_asks_nothing():
  class Silent(toy_task.Walk):
    def step(self, state, tokens, length):
      raise AssertionError("the search may not ask")

    random_step = step

  config = shared.changed(permission="nothing")
  silent = shared.searcher(Silent("append", max_steps=3), config)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  plain = shared.searcher(shared.TASKS["append"], config)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  jax.tree.map(np.testing.assert_array_equal, silent, plain)


def test_rules_do_not_tell_the_reward():
  config = shared.changed(permission="rules")
  blind = shared.searcher(hidden(shared.TASKS["append"], "reward"), config)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  plain = shared.searcher(shared.TASKS["append"], config)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  np.testing.assert_array_equal(
    blind.tree.children_visits, plain.tree.children_visits
  )
  near = functools.partial(np.testing.assert_allclose, atol=1e-6)
  near(blind.tree.node_values, plain.tree.node_values)
  near(blind.line.weights, plain.line.weights, atol=1e-5)
  assert not plain.tree.embeddings.wins.any()
  told = shared.searcher(shared.TASKS["append"], shared.CONFIG)(
    shared.PARAMS, shared.keys_like(shared.B), shared.toy_problems()
  )
  assert np.any(told.tree.node_values != plain.tree.node_values)


def after_candidates(move, problems, row, node=0):
  """Return where the candidates of a node lead, in plain Python."""
  nodes = move.tree.embeddings
  problem = toy_task.problem_at(problems, row)
  walk = {
    "place": int(nodes.state.inner.place[row, node]),
    "moves": int(nodes.state.inner.moves[row, node]),
    "over": bool(nodes.state.terminated[row, node]),
    "legal": bool(nodes.state.legal[row, node]),
  }
  return [
    toy_task.move(
      problem,
      walk,
      nodes.tokens[row, node, k, : nodes.lengths[row, node, k]],
      max_steps=3,
    )
    for k in range(nodes.lengths.shape[-1])
  ]


def test_illegal_steps_get_no_weight_and_equal_ones_are_one():
  problems = shared.toy_problems(1)
  move = shared.searcher(
    shared.TASKS["append"], shared.changed(permission="rules")
  )(shared.PARAMS, shared.keys_like(shared.B), problems)
  kinds = set()
  for row in range(shared.B):
    seen, afters = set(), after_candidates(move, problems, row)
    stuck = not any(after["legal"] for after in afters)
    for k, after in enumerate(afters):
      weight = move.line.weights[row, 0, k]
      visits = move.tree.children_visits[row, 0, k]
      usable = after["legal"] and after["place"] not in seen
      kinds.add((after["legal"], after["place"] in seen))
      assert (weight > 0) == usable
      assert usable or visits == 0 or stuck
      seen.add(after["place"]) if after["legal"] else None
  assert len(kinds) >= 3  # usable, illegal and repeated ones occurred


def test_no_legal_candidate_gives_no_weights():
  problems = shared.toy_problems(1)
  problems = problems.replace(legal=np.zeros_like(problems.legal))
  move = shared.searcher(
    shared.TASKS["append"], shared.changed(permission="rules")
  )(shared.PARAMS, shared.keys_like(shared.B), problems)
  assert np.all(move.line.weights == 0)
  assert np.all(np.isfinite(move.value))
  jax.tree.map(
    lambda x: np.testing.assert_array_equal(np.isnan(x), False),
    move.tree.node_values,
  )


def test_rules_propose_where_no_candidate_is_legal():
  """Random legal steps, equally likely, and only where they are needed."""
  away = np.zeros((toy_task.TOKENIZER.vocab_size,) * 2, np.float32)
  away[:, toy_task.LETTER_IDS] = -30.0  # this network never writes a step
  params = {**shared.PARAMS, "bias": away}
  problems, task = shared.toy_problems(2), shared.TASKS["append"]
  for config in shared.changed(rules_propose=True), shared.changed():
    move = shared.searcher(task, config)(
      params, shared.keys_like(shared.B), problems
    )
    for row in range(shared.B):
      after = after_candidates(move, problems, row)
      legal = [walk["legal"] for walk in after]
      assert legal == [config.rules_propose] * 6
    assert np.all((move.line.weights.sum(-1) > 0) == config.rules_propose)
  with_help = shared.searcher(task, shared.changed(rules_propose=True))(
    shared.PARAMS, shared.keys_like(shared.B), problems
  )
  plain = shared.searcher(task, shared.changed())(
    shared.PARAMS, shared.keys_like(shared.B), problems
  )
  root = plain.tree.children_prior_logits[:, 0]
  rows = (root > candidates.IMPOSSIBLE / 2).any(-1)
  assert rows.any()
  np.testing.assert_array_equal(
    with_help.tree.embeddings.tokens[rows, 0],
    plain.tree.embeddings.tokens[rows, 0],
  )
