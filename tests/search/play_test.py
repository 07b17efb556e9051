import collections
import dataclasses
import functools

import fake_model
import jax
import numpy as np
import pytest
import toy_task
import trees
import unoptimized

from alphallm import types
from alphallm.search import context, play, policies, tree_search

B, K, T, D = 4, 5, 3, 3
CONFIG = tree_search.SearchConfig(
  num_simulations=6,
  num_candidates=K,
  max_depth=3,
  play_solution=False,
  policy=policies.Gumbel(gumbel_scale=1.0),
)
PLAYER = dataclasses.replace(CONFIG, play_solution=True)
TASKS = {name: toy_task.Walk(name, max_steps=D) for name in ("append", "reset")}
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)


@functools.cache
def solver(task, config, apply_fn=fake_model.apply_fn):
  @unoptimized.jit
  def run(params, keys, problems):
    return play.solve(apply_fn, task, config, params, keys, problems)

  return lambda *args: jax.tree.map(np.asarray, run(*args))


def keys_like(n, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def toy_problems(seed=0, size=B):
  rng = np.random.default_rng(seed)
  problems = TASKS["append"].sample_numpy(rng, size)
  problems.held_out[:] = rng.random(problems.held_out.shape) < 0.3
  problems.held_out[:, 0] = False
  return problems


def repeated(tree, row):
  return jax.tree.map(lambda x: x[np.full(B, row)], tree)


def cut(step):
  """Return a step without what stands behind its stop."""
  stops = np.flatnonzero(np.isin(step, toy_task.STOP_IDS))
  return step[: stops[0] + 1] if len(stops) else step


def episodes(kind, config, seeds=3):
  """Yield `(problem, result, row)` of some solved problems."""
  for seed in range(seeds):
    problems = toy_problems(seed)
    result = solver(TASKS[kind], config)(PARAMS, keys_like(B, seed), problems)
    for row in range(B):
      yield toy_task.problem_at(problems, row), result, row


@pytest.mark.parametrize("config", [CONFIG, PLAYER], ids=["played", "found"])
@pytest.mark.parametrize("kind", TASKS)
def test_replay(kind, config):
  """Steps, contexts, candidates and weights of a state belong together."""
  outcomes = collections.Counter()
  for problem, result, row in episodes(kind, config):
    episode = jax.tree.map(lambda x: x[row], result.episode)  # noqa: B023
    walk, n = toy_task.start(problem), int(episode.num_steps)
    text = toy_task.observe(walk)
    states = []
    for d in range(n + 1):
      states.append(walk)
      # What the policy read.
      r = d if kind == "reset" else 0
      end = episode.ends[d]
      assert episode.contexts[r, :end].tolist() == text
      if kind == "reset":
        assert not episode.contexts[r, end:].any()
      if d == n:
        break
      assert not walk["over"]
      # The step is one of the candidates, unless none of them was legal.
      step = episode.steps[d]
      tokens = result.tokens[row].reshape(D, T)[d]
      np.testing.assert_array_equal(tokens, step)
      weights = episode.weights[d]
      candidates = episode.candidates[d]
      assert step.tolist() in candidates.tolist()
      assert np.all(np.diff(weights) <= 0)
      legal = [
        toy_task.move(problem, walk, cut(c), max_steps=D)["legal"]
        for c in candidates
      ]
      assert not np.any(weights[~np.array(legal)])
      assert np.isclose(weights.sum(), 1.0 if any(legal) else 0.0, atol=1e-5)
      after = toy_task.move(problem, walk, cut(step), max_steps=D)
      if any(legal):
        assert after["legal"]
      if episode.on_solution[d]:
        assert weights.tolist() == [1.0] + [0.0] * (K - 1)
        np.testing.assert_array_equal(candidates[0], step)
        assert result.solved[row]
      walk = after
      answer = toy_task.observe(walk)
      text = answer if kind == "reset" else [*text, *cut(step), *answer]
    assert walk["over"]
    assert result.solved[row] == episode.solved == (walk["reward"] == 1)
    assert not episode.weights[n:].any()
    assert not result.tokens[row].reshape(D, T)[n:].any()
    # Which states may be trained on: not those held out; of the last ones
    # those that are an end in themselves.
    is_capped = walk["legal"] and problem.kind[walk["place"]] == 0
    expected = [not problem.held_out[s["place"]] for s in states[:-1]]
    expected += [walk["legal"] and not is_capped]
    assert episode.mask.tolist() == expected + [False] * (D - n)
    assert result.value[row] == episode.root_values[0]
    assert np.all((episode.root_values >= 0) & (episode.root_values <= 1))
    outcomes[walk["legal"], is_capped, walk["reward"]] += 1
    outcomes["held_out"] += not all(expected[:-1])
    outcomes["on_solution"] += episode.on_solution[:n].any()
  assert outcomes[True, False, 1.0]  # solved
  assert len(outcomes) >= 4
  assert outcomes["held_out"]
  assert bool(outcomes["on_solution"]) == config.play_solution


def test_results_do_not_depend_on_the_batch():
  problems, keys = toy_problems(1), keys_like(B, 1)
  run = solver(TASKS["append"], CONFIG)
  whole = run(PARAMS, keys, problems)
  for row in range(B):
    alone = run(PARAMS, repeated(keys, row), repeated(problems, row))
    trees.assert_near(alone, repeated(whole, row))
  assert len(set(whole.episode.num_steps.tolist())) > 1
  # And in two halves, a program of another shape.
  for half in slice(0, 2), slice(2, 4):
    part = run(
      PARAMS,
      keys[half],
      jax.tree.map(lambda x: x[half], problems),  # noqa: B023
    )
    trees.assert_near(part, jax.tree.map(lambda x: x[half], whole))  # noqa: B023


class Counter:
  """A network that counts, on the host, what it is asked."""

  def __init__(self, kind):
    self.kind = kind  # of a fresh object, so that a program belongs to it
    self.clear()

  def clear(self):
    zeros = functools.partial(np.zeros, B, int)
    self.decoded, self.prefilled, self.calls = zeros(), zeros(), zeros()
    self.passes = 0

  def __call__(self, params, tokens, positions, **kwargs):
    output = fake_model.apply_fn(params, tokens, positions, **kwargs)
    jax.debug.callback(self.count, tokens)
    return output

  def count(self, tokens):
    stopped = [toy_task.TOKENIZER.pad_id, *toy_task.STOP_IDS]
    if tokens.shape[1] == 1:
      self.passes += 1
      self.calls += 1
      self.prefilled += (tokens[:, 0] != toy_task.TOKENIZER.pad_id).sum(-1)
    else:
      running = ~np.isin(tokens[:, :, 0], stopped)
      self.calls += running.any(-1)
      self.decoded += running.sum(-1)


def tidy_params():
  """Return parameters that write letters, newlines behind them, no pads."""
  bias = np.full_like(toy_task.bias(), -50.0)
  bias[:, toy_task.LETTER_IDS] = 0.0
  bias[:, toy_task.TOKENIZER.pad_id] = -99.0
  bias[toy_task.LETTER_IDS, toy_task.NEWLINE] = 2.0
  return {**PARAMS, "bias": np.float32(bias)}


@pytest.mark.parametrize("kind", TASKS)
def test_cost_of_a_search_is_what_the_network_was_asked(kind):
  task, counter = toy_task.Walk(kind, max_steps=12), Counter(kind)
  problems = toy_problems(2)
  # Nothing ends, so that every pass of every row counts.
  problems.legal[:], problems.kind[:] = True, toy_task.OPEN

  @unoptimized.jit
  def search(params, keys, problems):
    state = jax.vmap(task.init)(problems)
    begin = jax.vmap(functools.partial(context.initial, task))(problems)
    found = tree_search.search(
      counter, task, CONFIG, params, keys, state, begin
    )
    return found.cost, found.tree.embeddings.state.terminated

  cost, over = search(tidy_params(), keys_like(B), problems)
  jax.effects_barrier()
  assert not over.any()
  np.testing.assert_array_equal(cost.prefilled, counter.prefilled)
  np.testing.assert_array_equal(cost.decoded, counter.decoded)
  np.testing.assert_array_equal(cost.model_calls, counter.calls)
  assert np.all(cost.nodes == counter.passes)
  assert len(set(counter.decoded)) > 1


def test_cost_of_playing_is_what_the_network_was_asked():
  """Each row on its own, to its end; then all, of which some end early."""
  counter = Counter("greedy")
  config = dataclasses.replace(CONFIG, num_simulations=0)
  run = solver(TASKS["append"], config, counter)
  problems, keys = toy_problems(1), keys_like(B, 1)
  whole = run(tidy_params(), keys, problems)
  lengths = set()
  for row in range(B):
    jax.effects_barrier()
    counter.clear()
    alone = run(tidy_params(), repeated(keys, row), repeated(problems, row))
    jax.effects_barrier()
    cost = alone.cost
    np.testing.assert_array_equal(cost.prefilled, counter.prefilled)
    np.testing.assert_array_equal(cost.decoded, counter.decoded)
    np.testing.assert_array_equal(cost.model_calls, counter.calls)
    assert np.all(cost.nodes == alone.episode.num_steps)
    trees.assert_near(alone.cost, repeated(whole.cost, row))
    lengths.add(int(alone.episode.num_steps[0]))
  assert len(lengths) > 1


def test_only_the_first_steps_are_searched():
  task, some = TASKS["append"], dataclasses.replace(CONFIG, searched_steps=1)
  args = PARAMS, keys_like(B), toy_problems()
  first = unoptimized.jit(
    lambda *args: play.solve(
      fake_model.apply_fn, task, CONFIG, *args, max_moves=1
    )
  )(*args)
  result, whole = solver(task, some)(*args), solver(task, CONFIG)(*args)
  steps = result.episode.num_steps
  assert steps.max() > 1
  np.testing.assert_array_equal(result.step, first.step)
  # Of each other state the root alone is evaluated.
  np.testing.assert_array_equal(result.cost.nodes, first.cost.nodes + steps - 1)
  assert whole.cost.nodes.sum() > result.cost.nodes.sum()


def test_a_line_is_played_until_the_episode_ends():
  """Of one problem, by hand: two steps win; the third is not played."""
  task = TASKS["append"]
  problem = toy_task.problem_at(toy_problems(0), 0)
  problem = problem.replace(legal=np.ones_like(problem.legal))
  problem.held_out[:] = False
  problem.to[0, 1], problem.to[2, 0] = 2, len(toy_task.PLACES) - 1
  a, b, c = toy_task.LETTER_IDS[:3]
  step = lambda letter: [letter, toy_task.NEWLINE, 0]
  line = types.Line(
    tokens=np.array([[step(a), step(b), step(c)]] * 3, np.int32),
    lengths=np.full((3, 3), 2, np.int32),
    actions=np.array([1, 0, 2], np.int32),
    weights=np.array([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4], [0, 0, 1]], np.float32),
    length=np.int32(3),
    solves=np.bool_(True),
  )
  trace = play.start(task, 2, problem)
  play_line = unoptimized.jit(functools.partial(play.play_line, task))
  episode = play_line(trace, line, np.float32(0.25)).episode
  assert episode.num_steps == 2 and episode.solved
  assert episode.steps.tolist() == [step(b), step(a), [0] * 3, [0] * 3]
  assert episode.step_lengths.tolist() == [2, 2, 0, 0]
  assert episode.candidate_lengths.tolist() == [[2, 2], [2, 2], [0, 0], [0, 0]]
  # The two heaviest candidates, their weights made to sum to 1.
  assert episode.candidates[:2].tolist() == [
    [step(b), step(c)],
    [step(a), step(c)],
  ]
  np.testing.assert_allclose(
    episode.weights, [[0.625, 0.375], [0.6, 0.4], [0, 0], [0, 0]], rtol=1e-6
  )
  assert episode.on_solution.tolist() == [True, True, False, False]
  assert episode.root_values.tolist() == [0.25, 0, 0, 0]
  assert episode.mask.tolist() == [True, True, True, False]
  # A line of length 1 is one step, whatever stands behind it.
  short = line.replace(length=np.int32(1), solves=np.bool_(False))
  trace = play_line(trace, short, np.float32(0.25))
  assert trace.episode.num_steps == 1
  assert trace.state.inner.place == 2
  # And the episode goes on from there.
  rest = jax.tree.map(lambda x: x, line).replace(
    actions=np.array([0, 0, 0], np.int32)
  )
  episode = play_line(trace, rest, np.float32(0.5)).episode
  assert episode.num_steps == 2 and episode.solved
  assert episode.root_values.tolist() == [0.25, 0.5, 0, 0]
  assert episode.on_solution.tolist() == [False, True, False, False]
