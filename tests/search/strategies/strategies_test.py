"""Every strategy against itself in plain Python; what it costs; its keys."""

import collections
import functools

import fake_model
import jax
import numpy as np
import pytest
import reference_strategies
import toy_task
import trees
import unoptimized

from alphallm import search
from alphallm.search import guidance

B, D = 6, 4
TASKS = {name: toy_task.Walk(name, max_steps=D) for name in ("append", "reset")}


def params():
  """Return parameters that mostly write letters and newlines, never pads."""
  bias = np.full_like(toy_task.bias(), -50.0)
  bias[:, toy_task.LETTER_IDS] = 0.0
  bias[:, toy_task.TOKENIZER.eos_id] = -2.0
  bias[:, toy_task.TOKENIZER.pad_id] = -99.0
  bias[toy_task.LETTER_IDS, toy_task.NEWLINE] = 2.0
  return fake_model.init_params(
    toy_task.TOKENIZER.vocab_size, bias=bias, seed=3
  )


PARAMS = params()
VALUE, LOG_PROB = guidance.value(), guidance.log_prob()
MEAN = guidance.log_prob(length_power=1.0)
MIX = guidance.mix((0.5, VALUE), (0.5, guidance.likelihood()))

SURE = guidance.self_evaluation(toy_task.TOKENIZER, "dc", yes="a", no="b")

RATES = {
  "value": lambda p: p.value,
  "log_prob": lambda p: p.log_prob,
  "mean": lambda p: p.log_prob / max(p.num_tokens, 1),
  "likelihood": lambda p: np.exp(p.log_prob / max(p.num_tokens, 1)),
  "self_evaluation": lambda p: p.belief,
  "mix": lambda p: (p.value + np.exp(p.log_prob / max(p.num_tokens, 1))) / 2,
}
GUIDES = {
  "value": VALUE,
  "log_prob": LOG_PROB,
  "mean": MEAN,
  "likelihood": guidance.likelihood(),
  "self_evaluation": SURE,
  "mix": MIX,
}


def sampled(n):
  """Return the paths of n samples, in plain Python."""
  return lambda s: s.layers([s.root] * n, lambda kids: kids)


def first(width):
  return lambda s: [s.root] + [None] * (width - 1)


def voted(solver, paths, rate=lambda p: 1.0):
  """Return the first path of the answer that most are for."""
  votes = collections.Counter()
  for path in paths:
    if solver.ended(path):
      votes[path.walk["place"]] += rate(path)
  if not votes:
    for path in paths:
      path.score = rate(path) if path.lives else path.score
    return solver.best(paths)
  return next(
    p
    for p in paths
    if solver.ended(p) and votes[p.walk["place"]] >= max(votes.values()) - 1e-6
  )


def scored(solver, paths):
  for path in paths:
    solver.score(path)
  return solver.best(paths)


def refined(solver, width, rounds, choose):
  made = solver.attempts(width, rounds, choose)
  return solver.best([attempt.path for attempt in made])


def last(width):
  return lambda made, time: range(len(made) - width, len(made))


CASES = {
  # name: (strategy, its settings, what guides it, the reference)
  "greedy": (
    search.greedy,
    {},
    None,
    lambda s: s.layers([s.root], lambda kids: kids)[0],
  ),
  "sampling": (
    search.sampling,
    {"num_samples": 3},
    None,
    lambda s: sampled(3)(s)[0],
  ),
  "vote": (
    search.vote,
    {"num_samples": 6},
    None,
    lambda s: voted(s, sampled(6)(s)),
  ),
  "weighted vote": (
    search.vote,
    {"num_samples": 6},
    "mix",
    lambda s: voted(s, sampled(6)(s), RATES["mix"]),
  ),
  "best_of_n": (
    search.best_of_n,
    {"num_samples": 5},
    "mean",
    lambda s: scored(s, sampled(5)(s)),
  ),
  "rejection": (
    search.best_of_n,
    {"num_samples": 6, "reject": 0.34},
    "value",
    lambda s: s.best(
      s.layers([s.root] * 6, lambda kids: s.all_but_weakest(kids, 0.34))
    ),
  ),
  "beam": (
    search.beam,
    {"width": 3, "num_candidates": 4},
    "log_prob",
    lambda s: s.best(s.layers(first(3)(s), lambda kids: s.highest(kids, 3))),
  ),
  "beam that asks": (
    search.beam,
    {"width": 2, "num_candidates": 3},
    "self_evaluation",
    lambda s: s.best(s.layers(first(2)(s), lambda kids: s.highest(kids, 2))),
  ),
  "dvts": (
    search.dvts,
    {"width": 3, "num_candidates": 3},
    "value",
    lambda s: s.best(
      s.layers([s.root] * 3, lambda kids: s.highest_of_each(kids, 3))
    ),
  ),
  "rebase": (
    search.rebase,
    {"num_samples": 6, "balance": 0.1},
    "value",
    lambda s: s.best(
      s.layers([s.root] * 6, lambda kids: s.in_proportion(kids, 6, 0.1))
    ),
  ),
  "lookahead": (
    search.lookahead,
    {"width": 2, "num_candidates": 3, "num_steps": 2},
    "log_prob",
    lambda s: s.best(
      s.layers(
        first(2)(s),
        lambda kids: s.highest(kids, 2),
        lambda kids: s.look(kids, 2),
      )
    ),
  ),
  "breadth_first": (
    search.breadth_first,
    {"width": 3, "num_candidates": 4, "threshold": 0.2},
    "value",
    lambda s: s.best(
      s.layers(first(3)(s), lambda kids: s.highest(kids, 3, s.sees, 0.2))
    ),
  ),
  "depth_first": (
    search.depth_first,
    {"num_expansions": 9, "num_candidates": 3, "threshold": 0.2},
    "value",
    lambda s: s.queue(
      num_expansions=9,
      room=1 + D * 2,
      threshold=0.2,
      urgency=lambda child, time, i: time * 3 + 2 - i,
    ),
  ),
  "best_first": (
    search.best_first,
    {"num_expansions": 9, "num_candidates": 3, "room": 5},
    "mean",
    lambda s: s.queue(
      num_expansions=9, room=5, urgency=lambda child, time, i: child.score
    ),
  ),
  "revision": (
    search.revision,
    {"num_revisions": 4},
    "value",
    lambda s: refined(s, 1, 5, last(1)),
  ),
  "revisions": (
    search.revision,
    {"num_revisions": 2, "num_chains": 3},
    "likelihood",
    lambda s: refined(s, 3, 3, last(3)),
  ),
  "mctsr": (
    search.mctsr,
    {"num_attempts": 7, "exploration": 0.5},
    "mix",
    lambda s: refined(
      s, 1, 7, lambda made, time: s.highest_uct(made, time, 2, 0.5)
    ),
  ),
}
# Each with one kind of context and one permission; together they meet all.
SETTINGS = {
  "greedy": [("append", "nothing"), ("reset", "nothing")],
  "sampling": [("append", "nothing")],
  "vote": [("append", "rules")],
  "weighted vote": [("reset", "rules")],
  "best_of_n": [("reset", "rules")],
  "rejection": [("append", "rules")],
  "beam": [("append", "nothing"), ("reset", "checker")],
  "beam that asks": [("append", "rules")],
  "dvts": [("append", "rules")],
  "rebase": [("append", "rules")],
  "lookahead": [("append", "checker")],
  "breadth_first": [("append", "rules")],
  "depth_first": [("append", "rules")],
  "best_first": [("append", "checker")],
  "revision": [("reset", "rules")],
  "revisions": [("append", "checker")],
  "mctsr": [("append", "rules")],
}
SLOW = ["revisions"]
ALL = [
  pytest.param(name, *how, marks=[pytest.mark.slow] * (name in SLOW))
  for name, hows in SETTINGS.items()
  for how in hows
]


def made(name, kind, permission, apply_fn=fake_model.apply_fn):
  make, settings, guide, _ = CASES[name]
  settings = dict(settings, permission=permission)
  if guide:
    settings["guidance"] = GUIDES[guide]
  return make(apply_fn, TASKS[kind], **settings)


@functools.cache
def program(name, kind, permission):
  run = unoptimized.jit(made(name, kind, permission))
  return lambda *args: jax.tree.map(np.asarray, run(*args))


def drawn(seed=0):
  rng = np.random.default_rng(seed)
  problems = TASKS["append"].sample_numpy(rng, B)
  problems.legal[:] = rng.random(problems.legal.shape) < 0.9
  return problems


def keys_like(seed=0):
  return jax.random.split(jax.random.key(seed), B)


@pytest.mark.parametrize(("name", "kind", "permission"), ALL)
def test_is_the_reference(name, kind, permission):
  make, settings, guide, reference = CASES[name]
  problems, keys = drawn(), keys_like()
  found = program(name, kind, permission)(PARAMS, keys, problems)
  lengths = set()
  for row in range(B):
    solver = reference_strategies.Solver(
      PARAMS,
      keys[row],
      toy_task.problem_at(problems, row),
      TASKS[kind],
      k=settings.get("num_candidates", 1),
      permission="rules" if name == "greedy" else permission,
      score=RATES.get(guide, lambda p: 0.0),
      noise=name != "greedy",
      reads=guide in ("value", "mix", "self_evaluation"),
      question=guide and GUIDES[guide].question,
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
        walk = toy_task.move(solver.problem, walk, step, max_steps=D)
      assert walk["over"] or n == len(answer.steps)
      assert found.solved[row] == (walk["reward"] == 1)
      lengths.add(n)
    cost = {field: int(x[row]) for field, x in found.cost.items()}
    assert cost == solver.cost
  assert len(lengths) > 1


@pytest.mark.parametrize("name", ["weighted vote", "rejection", "best_first"])
def test_a_problem_alone_is_as_in_its_batch(name):
  run = program(name, *SETTINGS[name][0])
  problems, keys = drawn(1), keys_like(1)
  whole = run(PARAMS, keys, problems)
  again = run(PARAMS, keys, problems)
  jax.tree.map(np.testing.assert_array_equal, whole, again)
  for row in (0, 4):
    place = np.full(B, row)
    at = lambda tree: jax.tree.map(lambda x: x[place], tree)  # noqa: B023
    alone = run(PARAMS, keys[place], at(problems))
    trees.assert_near(alone.cost, at(whole.cost))
    trees.assert_near(alone.episode, at(whole.episode))
    trees.assert_near(alone.value, at(whole.value))


class Counter:
  """A network that counts, on the host, the tokens that it is asked."""

  def __init__(self):
    self.decoded, self.prefilled = np.zeros(B, int), np.zeros(B, int)

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
  run = unoptimized.jit(made(name, kind, permission, counter))
  found = run(PARAMS, keys_like(), drawn(2))
  jax.block_until_ready(found)
  jax.effects_barrier()
  np.testing.assert_array_equal(found.cost.prefilled, counter.prefilled)
  np.testing.assert_array_equal(found.cost.decoded, counter.decoded)
  assert len(set(counter.decoded)) > 1


def test_paths_hold_all_samples():
  found = program("sampling", "append", "nothing")(PARAMS, keys_like(), drawn())
  assert found.paths.solved.shape == (B, 3)
  np.testing.assert_array_equal(found.paths.solved[:, 0], found.solved)


def test_one_sample_is_played_and_asks_nothing():
  run = search.sampling(fake_model.apply_fn, TASKS["reset"])
  assert callable(run)
  with pytest.raises(ValueError, match="permission 'rules' or 'checker'"):
    search.sampling(
      fake_model.apply_fn,
      TASKS["reset"],
      num_samples=2,
      permission="nothing",
    )


@pytest.mark.parametrize(
  ("make", "settings", "words"),
  [
    (search.greedy, {"guidance": VALUE}, "greedy by value: greedy follows"),
    (search.sampling, {"guidance": VALUE}, "sampling by value"),
    (search.vote, {"guidance": LOG_PROB}, "cannot be added up"),
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
    (search.revision, {"guidance": LOG_PROB}, "refining by log_prob.*0 to 1"),
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
    make(fake_model.apply_fn, TASKS["append"], **settings)
  assert "\n" not in str(error.value)
