"""Every strategy with its settings, and what the reference does for it."""

import collections
import functools

import fake_model
import jax
import numpy as np
import pytest
import toy_task
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
