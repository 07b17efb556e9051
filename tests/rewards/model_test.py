"""What a network says of solutions, against plain NumPy, token by token."""

import types

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solutions
import toy_task

from alphallm import rewards, search
from alphallm.rewards import model

VOCAB = toy_task.TOKENIZER.vocab_size
PARAMS = fake_model.init_params(VOCAB, bias=toy_task.bias())
OTHER = jax.tree.map(
  jnp.asarray, fake_model.init_params(VOCAB, bias=toy_task.bias(), seed=1)
)
TRACED = jax.tree.map(jnp.asarray, PARAMS)
COUNT = 6


@pytest.fixture(scope="module", params=["append", "reset"])
def walks(request):
  task = toy_task.Walk(request.param)
  return task, *solutions.random_walks(task, COUNT)


def contexts(task, solution, row):
  """Return the tokens of each state of a solution."""
  resets = task.context == "reset"
  return [
    solution.contexts[row, i if resets else 0, : solution.ends[row, i]]
    for i in range(solution.num_steps[row] + 1)
  ]


def steps(solution, row):
  return [
    solution.steps[row, i, : solution.step_lengths[row, i]]
    for i in range(solution.num_steps[row])
  ]


def test_replaying_tells_what_is_legal_and_what_is_paid(walks):
  task, solution, solved = walks
  scores = jax.jit(rewards.base.environment(task))(solution)
  np.testing.assert_array_equal(scores.outcome, solved)
  for row in range(COUNT):
    problem = toy_task.problem_at(solution.problem, row)
    walk = toy_task.start(problem)
    for i, step in enumerate(steps(solution, row)):
      walk = toy_task.move(problem, walk, step, max_steps=task.max_steps)
      assert solution.legal[row, i] == walk["legal"]
      assert scores.steps[row, i] == walk["reward"]
    assert not np.any(solution.legal[row, solution.num_steps[row] :])


def test_a_model_scores_every_legal_step(walks):
  task, solution, _ = walks
  reward = model.reward(fake_model.apply_fn, TRACED, "product")
  scored = jax.jit(reward)(solution)
  for row in range(COUNT):
    wanted = [
      fake_model.reference(PARAMS, context)[1] * solution.legal[row, i]
      for i, context in enumerate(contexts(task, solution, row)[1:])
    ]
    count = len(wanted)
    np.testing.assert_allclose(scored.steps[row, :count], wanted, rtol=1e-4)
    assert not np.any(scored.steps[row, count:])
    np.testing.assert_allclose(scored.outcome[row], np.prod(wanted), rtol=1e-3)


def test_log_probabilities_and_implicit_rewards(walks):
  task, solution, _ = walks
  log_probs = jax.jit(
    lambda x: model.step_log_probs(fake_model.apply_fn, TRACED, x)
  )
  found = log_probs(solution)
  implicit = model.implicit(fake_model.apply_fn, TRACED, OTHER, beta=0.5)
  implicit = jax.jit(implicit)(solution)
  for row in range(COUNT):
    before = contexts(task, solution, row)
    for i, step in enumerate(steps(solution, row)):
      wanted = fake_model.log_prob(PARAMS, before[i], step)
      reference = fake_model.log_prob(OTHER, before[i], step)
      np.testing.assert_allclose(found[row, i], wanted, rtol=1e-4)
      np.testing.assert_allclose(
        implicit.steps[row, i], 0.5 * (wanted - reference), atol=1e-4
      )
  np.testing.assert_allclose(
    implicit.outcome, implicit.steps.sum(axis=1), rtol=1e-5
  )


def logits(context):
  """Return the logits of the next token, not normalised."""
  embed = np.asarray(PARAMS["embed"], np.float64)
  hidden = np.sin(sum(embed[i, token] for i, token in enumerate(context)))
  return hidden @ PARAMS["logits"] + PARAMS["bias"][context[-1]]


def test_expert_rewards_by_the_bellman_equation(walks):
  """V and Q token by token; behind the last token nothing is worth anything."""
  task, solution, _ = walks
  reward = model.expert(fake_model.apply_fn, TRACED, discount=0.9)
  found = jax.jit(reward)(solution)
  for row in range(2):
    before = contexts(task, solution, row)
    texts, chosen, ends = [], [], []
    for i, step in enumerate(steps(solution, row)):
      texts += [[*before[i], *step[:j]] for j in range(len(step))]
      chosen += list(step)
      ends.append(len(texts))
    said = [logits(text) for text in texts]
    value = [np.logaddexp.reduce(x) for x in said] + [0.0]
    each = [
      said[i][token] - 0.9 * value[i + 1] for i, token in enumerate(chosen)
    ]
    wanted = [sum(x) for x in np.split(np.array(each), ends[:-1])]
    np.testing.assert_allclose(
      found.steps[row, : len(wanted)], wanted, rtol=1e-3, atol=1e-3
    )


def test_confidence_is_between_0_and_1(walks):
  _, solution, _ = walks
  reward = model.confidence(fake_model.apply_fn, TRACED)
  scored = jax.jit(reward)(solution)
  inside = scored.steps[np.asarray(solution.is_step)]
  assert np.all((inside > 0) & (inside <= 1))


def test_a_model_scores_states_of_a_search():
  task = toy_task.Walk("reset")
  solution, _ = solutions.random_walks(task, COUNT)
  score = model.of_state(fake_model.apply_fn, OTHER, task)
  path_score = model.of_path(fake_model.apply_fn, OTHER, task)

  @jax.jit
  def first_steps(problems, steps, lengths):
    def one(problem, tokens, length):
      state = task.step(task.init(problem), tokens, length)
      path = types.SimpleNamespace(state=state)
      return state, score(state), path_score(path)

    return jax.vmap(one)(problems, steps, lengths)

  state, scores, of_paths = first_steps(
    solution.problem, solution.steps[:, 0], solution.step_lengths[:, 0]
  )
  np.testing.assert_array_equal(scores, of_paths)
  for row in range(COUNT):
    text = state.observation[row, : state.observation_length[row]]
    wanted = fake_model.reference(OTHER, np.asarray(text))[1]
    wanted = wanted if state.legal[row] else 0
    np.testing.assert_allclose(scores[row], wanted, rtol=1e-4)
  with pytest.raises(ValueError, match="reset the context"):
    model.of_state(fake_model.apply_fn, OTHER, toy_task.Walk("append"))


@pytest.mark.slow
def test_a_model_guides_best_of_n_and_trees():
  """What the guide likes best is what is taken, among paths that end."""
  task = toy_task.Walk("reset")
  problems = task.sample_numpy(np.random.default_rng(0), 3)
  reward = model.of_path(fake_model.apply_fn, OTHER, task)
  run = search.best_of_n(
    fake_model.apply_fn,
    task,
    num_samples=4,
    guidance=search.guidance.outcome(reward, of_partial=True),
    permission="rules",
  )
  result = jax.jit(run)(TRACED, jax.random.key(0), problems)
  scores = jax.vmap(jax.vmap(reward))(result.paths)
  ended = result.paths.finished & ~result.paths.state.truncated
  best = np.argmax(np.where(ended, scores, -1), axis=1)
  for row in np.flatnonzero(ended.any(axis=1)):
    np.testing.assert_array_equal(
      result.tokens[row], result.paths.tokens[row, best[row]].ravel()
    )
  run = search.mcts(
    fake_model.apply_fn,
    task,
    num_simulations=4,
    num_candidates=4,
    permission="rules",
    process_reward=model.of_state(fake_model.apply_fn, OTHER, task),
  )
  result = jax.jit(run)(TRACED, jax.random.key(0), problems)
  state = jax.vmap(task.init)(problems)
  score = jax.vmap(model.of_state(fake_model.apply_fn, OTHER, task))(state)
  np.testing.assert_allclose(result.tree.raw_values[:, 0], score, rtol=1e-4)
