"""The strategies in plain Python, on walks, a path at a time.

A path reads its whole context anew at each step. Only the random numbers of a
step are the library's: a step is drawn by `candidates.sample` from the key of
its problem, its time and its place.
"""

import dataclasses
import functools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import toy_task
import unoptimized

from alphallm.models import attention
from alphallm.search import candidates

WRONG, CERTAIN, NO_GOOD = -1e9, 1e6, -1e6
ROOM = 64  # tokens of a context


@functools.cache
def _sampler(k, noise):
  """Return `(params, key, context, length) -> steps of one path`."""

  @unoptimized.jit
  def sample(params, key, tokens, length):
    places = jnp.arange(ROOM)[None, None]
    output = fake_model.apply_fn(params, tokens[None, None], places)
    logits = output.logits[:, 0, length - 1]
    mask = (jnp.arange(ROOM) < length)[None, None, None]
    kv = jax.tree.map(lambda x: x[:, 0], output.kv)
    return candidates.sample(
      fake_model.apply_fn,
      params,
      key[None],
      logits,
      length[None],
      [attention.Segment(kv=kv, mask=mask)],
      num_candidates=k,
      max_step_tokens=toy_task.Walk.max_step_tokens,
      stop_ids=toy_task.STOP_IDS,
      noise=noise,
    )

  return sample


@dataclasses.dataclass
class Path:
  walk: dict
  context: list
  steps: list = dataclasses.field(default_factory=list)
  log_prob: float = 0.0
  value: float = 0.0
  belief: float = 0.5
  score: float = 0.0
  over: bool = False
  read: int = 0  # tokens of the context that the network has read

  @property
  def lives(self):
    return self.score > WRONG / 2

  @property
  def num_tokens(self):
    return sum(map(len, self.steps))


class Solver:
  """One problem, and the strategies that solve it."""

  def __init__(
    self,
    params,
    key,
    problem,
    task,
    *,
    k,
    permission,
    score,
    noise,
    reads,
    question=None,
  ):
    self.question = question
    self.params, self.key, self.problem = params, key, problem
    self.task, self.k, self.noise = task, k, noise
    self.sees, self.checks = permission != "nothing", permission == "checker"
    self.rate, self.reads = score, reads
    self.cost = dict.fromkeys(
      ("decoded", "prefilled", "model_calls", "nodes"), 0
    )
    walk = toy_task.start(problem)
    self.root = Path(walk=walk, context=toy_task.observe(walk))
    self.read([self.root])

  # What strategies are made of.

  def read(self, paths):
    """Let the network read what was added to some paths."""
    for path in paths:
      added = len(path.context)
      if self.task.context == "append":
        added -= path.read
      path.value = fake_model.reference(self.params, path.context)[1]
      path.read = len(path.context)
      if self.question and path.steps:
        asked = [*path.context, *self.question.tokens]
        log_probs = fake_model.reference(self.params, asked)[0]
        yes, no = np.exp(log_probs[[self.question.yes, self.question.no]])
        path.belief = yes / (yes + no)
        added += len(self.question.tokens)
      self.cost["prefilled"] += added
      self.cost["nodes"] += 1
    self.cost["model_calls"] += bool(paths)

  def children(self, open_paths, time, *, k=None, noise=None, reads=False):
    """Return the children of `(place, path)` pairs, a list for each."""
    k = k or self.k
    noise = self.noise if noise is None else noise
    found, longest = [], 0
    for place, path in open_paths:
      key = jax.random.fold_in(jax.random.fold_in(self.key, time), place)
      tokens = np.zeros(ROOM, np.int32)
      tokens[: len(path.context)] = path.context
      steps, decoded = _sampler(k, noise)(
        self.params, key, tokens, len(path.context)
      )
      self.cost["decoded"] += int(decoded[0])
      lengths = np.asarray(steps.lengths[0])
      longest = max(longest, int(lengths.max()) - 1)
      found.append(
        [
          self._child(path, np.asarray(steps.tokens[0, i])[: lengths[i]], p)
          for i, p in enumerate(np.asarray(steps.log_probs[0]))
        ]
      )
    self.cost["model_calls"] += longest
    if reads:
      judged = self.reads and not self.checks
      all_ = [child for family in found for child in family]
      self.read([c for c in all_ if c.lives and (judged or not c.over)])
    for family in found:
      for child in family:
        self.score(child)
    return found

  def _child(self, path, step, log_prob):
    step = list(map(int, step))
    walk = toy_task.move(
      self.problem, path.walk, step, max_steps=self.task.max_steps
    )
    child = dataclasses.replace(
      path,
      walk=walk,
      steps=[*path.steps, step],
      log_prob=path.log_prob + float(log_prob),
      score=0.0,
    )
    if self.sees:
      child.over, wrong = walk["over"], not walk["legal"]
      answer = toy_task.observe(walk)
      resets = self.task.context == "reset"
      child.context = answer if resets else [*path.context, *step, *answer]
    else:
      ended = toy_task.TOKENIZER.eos_id in step
      child.over = ended or len(child.steps) >= self.task.max_steps
      wrong, child.context = False, [*path.context, *step]
    if self.checks and child.over:
      child.value, wrong = walk["reward"], wrong or not walk["reward"]
    if wrong:
      child.score, child.over = WRONG, True
    return child

  def score(self, path):
    if path.lives:
      right = self.checks and path.over and path.walk["reward"] >= 1
      path.score = CERTAIN if right else self.rate(path)

  def solved(self, paths):
    return self.checks and any(
      p.over and p.lives and p.walk["reward"] >= 1 for p in paths if p
    )

  def ended(self, path):
    """Whether a path is a whole one, and was not cut off."""
    kind = self.problem.kind[path.walk["place"]]
    cut = self.sees and path.walk["legal"] and kind == toy_task.OPEN
    return path.lives and path.over and not cut

  def best(self, paths):
    """Return the best path; None if nothing lives."""

    def order(path):
      tier = int(path.lives) + int(self.ended(path))
      tier += int(self.solved([path]))
      return tier, path.score

    living = [p for p in paths if p and p.lives]
    return max(living, key=order, default=None)

  # The two loops.

  def layers(self, paths, select, look=None):
    """Lengthen paths (or None) by a step at a time; return those in the end."""
    for time in range(self.task.max_steps):
      if all(p is None or p.over for p in paths):
        break
      open_ = [(i, p) for i, p in enumerate(paths) if p and not p.over]
      reads_first = self.reads or look is not None
      if not reads_first and time:
        self.read([p for _, p in open_])
      grown = iter(self.children(open_, time, reads=reads_first))
      families = []
      for path in paths:
        if path is None:
          families.append([None] * self.k)
        elif path.over:
          families.append([path] + [None] * (self.k - 1))
        else:
          families.append(next(grown))
      kids = [child for family in families for child in family]
      if look:
        kids = look(kids)
      paths = select(kids)
      if self.solved(paths):
        break
    return paths

  def queue(self, *, num_expansions, room, urgency, threshold=None):
    """Take up one path at a time; return the answer, None if none waits."""
    waiting, seen = [(0.0, self.root)], {self.root.walk["place"]}
    for time in range(num_expansions):
      if not waiting:
        return None
      waiting.sort(key=lambda pair: -pair[0])
      _, path = waiting.pop(0)
      if path.over:
        return path
      if not self.reads and time:
        self.read([path])
      kids = self.children([(0, path)], time, reads=self.reads)[0]
      if self.sees:
        kids = self.unlike(kids)
        # What is seen is noted of all, but each was compared before.
        fresh = [c for c in kids if c.walk["place"] not in seen]
        seen |= {c.walk["place"] for c in kids}
        kids = fresh
      kids = [c for c in kids if c.lives]
      if threshold is not None:
        kids = [c for c in kids if c.score >= threshold]
      kids.sort(key=lambda c: -c.score)
      waiting += [(urgency(c, time, i), c) for i, c in enumerate(kids)]
      waiting = sorted(waiting, key=lambda pair: -pair[0])[:room]
      if self.solved([c for _, c in waiting]):
        break
    return self.best([p for _, p in waiting]) if waiting else None

  def unlike(self, paths):
    """Return the living paths, of equal states the best (and first) one."""
    best = {}
    for path in paths:
      place = path.walk["place"]
      if path.lives and (place not in best or path.score > best[place].score):
        best[place] = path
    return [p for p in paths if p.lives and best[p.walk["place"]] is p]

  # Who lives on.

  def highest(self, kids, width, merge=False, threshold=None):
    kids = [c for c in kids if c and c.lives]
    if merge:
      kids = self.unlike(kids)
    if threshold is not None:
      kids = [c for c in kids if c.score >= threshold]
    kids = sorted(kids, key=lambda c: (not c.over, -c.score))[:width]
    return kids + [None] * (width - len(kids))

  def highest_of_each(self, kids, width):
    families = np.array(kids, object).reshape(width, -1)
    return [max((c for c in f if c), key=lambda c: c.score) for f in families]

  def all_but_weakest(self, kids, share):
    living = [c for c in kids if c and c.lives]
    count = int(share * len(living) + 1e-4)
    weakest = sorted(living, key=lambda c: -c.score)[len(living) - count :]
    for child in weakest:
      if not child.over:
        child.score, child.over = WRONG, True
    return kids

  def in_proportion(self, kids, width, temperature):
    living = [c for c in kids if c and c.lives]
    open_ = [c for c in living if not c.over]
    budget = width - (len(living) - len(open_))
    counts = {id(c): 1 for c in living}
    if open_:
      weights = np.exp(np.array([c.score for c in open_]) / temperature)
      share = budget * weights / weights.sum()
      whole = np.floor(share + 1e-5)
      order = np.argsort(-(share - whole), kind="stable")
      whole[order[: int(budget - whole.sum())]] += 1
      counts |= {id(c): int(n) for c, n in zip(open_, whole, strict=True)}
    paths = [c for c in living for _ in range(counts[id(c)])]
    return paths + [None] * (width - len(paths))

  def look(self, kids, num_steps):
    """Score children by where greedy steps lead."""
    ahead = list(kids)
    for time in range(num_steps):
      open_ = [(i, p) for i, p in enumerate(ahead) if p and not p.over]
      if not open_:
        break
      if not self.reads and time:
        self.read([p for _, p in open_])
      grown = self.children(open_, 0, k=1, noise=False, reads=self.reads)
      for (i, _), (child,) in zip(open_, grown, strict=True):
        ahead[i] = child
    for i, (child, seen) in enumerate(zip(kids, ahead, strict=True)):
      if child is None or not child.lives:
        continue
      self.score(seen)
      if self.solved([seen]):
        kids[i] = seen
      else:
        child.score = seen.score if seen.lives else NO_GOOD
    return kids
