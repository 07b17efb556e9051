"""Every strategy against itself in plain Python; what it costs; its keys."""

import functools

import fake_model
import jax
import numpy as np
import pytest
import reference_attempts
import strategy_cases as cases
import toy_task
import trees
import unoptimized

from alphallm import search
from alphallm.search import guidance


@pytest.mark.parametrize(("name", "kind", "permission"), cases.ALL)
def test_is_the_reference(name, kind, permission):
  make, settings, guide, reference = cases.CASES[name]
  problems, keys = cases.drawn(), cases.keys_like()
  found = cases.program(name, kind, permission)(cases.PARAMS, keys, problems)
  lengths = set()
  for row in range(cases.B):
    solver = reference_attempts.Refiner(
      cases.PARAMS,
      keys[row],
      toy_task.problem_at(problems, row),
      cases.TASKS[kind],
      k=settings.get("num_candidates", 1),
      permission="rules" if name == "greedy" else permission,
      score=cases.RATES.get(guide, lambda p: 0.0),
      noise=name != "greedy",
      reads=guide in ("value", "mix", "self_evaluation"),
      question=guide and cases.GUIDES[guide].question,
    )
    answer = reference(solver)
    episode = jax.tree.map(lambda x: x[row], found.episode)  # noqa: B023
    if answer is None:
      assert not found.solved[row]
    else:
      # A text that goes on behind its end is played to its end.
      n = int(episode.num_steps)
      steps = [
        list(step[:length])
        for step, length in zip(
          episode.steps[:n], episode.step_lengths[:n], strict=True
        )
      ]
      assert steps == answer.steps[:n]
      walk = toy_task.start(None)
      for step in steps:
        assert not walk["over"]
        walk = toy_task.move(solver.problem, walk, step, max_steps=cases.D)
      assert walk["over"] or n == len(answer.steps)
      assert found.solved[row] == (walk["reward"] == 1)
      lengths.add(n)
    cost = {field: int(x[row]) for field, x in found.cost.items()}
    assert cost == solver.cost
  assert len(lengths) > 1


@pytest.mark.parametrize("name", ["weighted vote", "rejection", "best_first"])
def test_a_problem_alone_is_as_in_its_batch(name):
  run = cases.program(name, *cases.SETTINGS[name][0])
  problems, keys = cases.drawn(1), cases.keys_like(1)
  whole = run(cases.PARAMS, keys, problems)
  again = run(cases.PARAMS, keys, problems)
  jax.tree.map(np.testing.assert_array_equal, whole, again)
  for row in (0, 4):
    place = np.full(cases.B, row)
    at = lambda tree: jax.tree.map(lambda x: x[place], tree)  # noqa: B023
    alone = run(cases.PARAMS, keys[place], at(problems))
    trees.assert_near(alone.cost, at(whole.cost))
    trees.assert_near(alone.episode, at(whole.episode))
    trees.assert_near(alone.value, at(whole.value))


class Counter:
  """A network that counts, on the host, the tokens that it is asked."""

  def __init__(self):
    self.decoded, self.prefilled = (
      np.zeros(cases.B, int),
      np.zeros(cases.B, int),
    )

  def __call__(self, params, tokens, positions, **kwargs):
    output = fake_model.apply_fn(params, tokens, positions, **kwargs)
    # A step's tokens come one by one, and all of them are wanted.
    decodes = kwargs.get("read") is None
    jax.debug.callback(functools.partial(self.count, decodes), tokens)
    return output

  def count(self, decodes, tokens):
    if decodes:
      ended = [toy_task.TOKENIZER.pad_id, *toy_task.STOP_IDS]
      self.decoded += (~np.isin(tokens, ended)).sum((1, 2))
    else:
      self.prefilled += (tokens != toy_task.TOKENIZER.pad_id).sum((1, 2))


@pytest.mark.parametrize(
  ("name", "kind", "permission"),
  [
    ("vote", "reset", "rules"),
    ("rejection", "append", "checker"),
    ("beam", "append", "rules"),
    ("lookahead", "reset", "rules"),
    ("best_first", "append", "rules"),
  ],
)
def test_cost_is_what_the_network_was_asked(name, kind, permission):
  counter = Counter()
  run = unoptimized.jit(cases.made(name, kind, permission, counter))
  found = run(cases.PARAMS, cases.keys_like(), cases.drawn(2))
  jax.block_until_ready(found)
  jax.effects_barrier()
  np.testing.assert_array_equal(found.cost.prefilled, counter.prefilled)
  np.testing.assert_array_equal(found.cost.decoded, counter.decoded)
  assert len(set(counter.decoded)) > 1


def test_paths_hold_all_samples():
  found = cases.program("sampling", "append", "nothing")(
    cases.PARAMS, cases.keys_like(), cases.drawn()
  )
  assert found.paths.solved.shape == (cases.B, 3)
  np.testing.assert_array_equal(found.paths.solved[:, 0], found.solved)


def test_one_sample_is_played_and_asks_nothing():
  run = search.sampling(fake_model.apply_fn, cases.TASKS["reset"])
  assert callable(run)
  with pytest.raises(ValueError, match="permission 'rules' or 'checker'"):
    search.sampling(
      fake_model.apply_fn,
      cases.TASKS["reset"],
      num_samples=2,
      permission="nothing",
    )


@pytest.mark.parametrize(
  ("make", "settings", "words"),
  [
    (
      search.greedy,
      {"guidance": cases.VALUE},
      "greedy by value: greedy follows",
    ),
    (search.sampling, {"guidance": cases.VALUE}, "sampling by value"),
    (search.vote, {"guidance": cases.LOG_PROB}, "cannot be added up"),
    (search.vote, {"permission": "checker"}, "needs no votes"),
    (search.vote, {"permission": "nothing"}, "is known to its rules"),
    (search.beam, {"guidance": guidance.checker()}, "beam by checker.*under"),
    (search.dvts, {"guidance": guidance.self_consistency()}, "under way"),
    (
      search.best_of_n,
      {"guidance": guidance.checker(), "permission": "rules"},
      "may not ask the checker",
    ),
    (
      search.best_of_n,
      {"guidance": guidance.semantic_entropy(), "reject": 0.5},
      "best_of_n with rejection by semantic_entropy.*under way",
    ),
    (search.best_of_n, {"reject": 1.0}, "reject=1.0"),
    (search.rebase, {"balance": 0.0}, "balance=0.0"),
    (search.lookahead, {"num_steps": 0}, "num_steps=0"),
    (search.best_first, {"room": 0}, "room=0"),
    (
      search.revision,
      {"guidance": cases.LOG_PROB},
      "refining by log_prob.*0 to 1",
    ),
    (search.revision, {"num_revisions": -1}, "1 attempts in 0 rounds"),
    (search.revision, {"guidance": guidance.checker()}, "under way"),
    (search.mctsr, {"max_children": 0}, "max_children=0"),
    (search.mctsr, {"num_attempts": 0}, "in 0 rounds"),
    (search.beam, {"permission": "all"}, "permission='all'"),
    (search.beam, {"num_candidates": 0}, "num_candidates=0"),
    (search.beam, {"distinct": False, "noise": False}, "need noise"),
    (search.beam, {"candidate_temperature": 0.0}, "is not above 0"),
  ],
)
def test_what_makes_no_sense_is_refused(make, settings, words):
  with pytest.raises(ValueError, match=words) as error:
    make(fake_model.apply_fn, cases.TASKS["append"], **settings)
  assert "\n" not in str(error.value)
