"""Gumbel MuZero and PUCT over candidate steps, recursively, in plain Python.

Written from Danihelka et al. (2022) and Silver et al. (2018) in float64, over
the toy task and the fake network; knows nothing of mctx, pages or batches.
"""

import dataclasses
import math

import fake_model
import numpy as np
import toy_task

MASKED = -1e9


@dataclasses.dataclass
class Node:
  index: int
  walk: dict
  context: list
  depth: int
  steps: list
  logits: np.ndarray
  wins: list
  raw: float
  reward: float = 0.0  # of the edge that leads here
  discount: float = 0.0
  returns: list = dataclasses.field(default_factory=list)
  children: dict = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    self.visits = np.zeros(len(self.logits), int)

  @property
  def value(self):
    return (self.raw + sum(self.returns)) / (1 + len(self.returns))

  @property
  def qvalues(self):
    q = np.zeros(len(self.logits))
    for action, child in self.children.items():
      q[action] = child.reward + child.discount * child.value
    return q


@dataclasses.dataclass
class Search:
  """One search of one problem; `root` is the tree after `run()`."""

  params: dict
  problem: toy_task.Problem
  permission: str
  num_simulations: int
  num_candidates: int
  max_depth: int
  max_steps: int
  discount: float = 0.97
  prior_temperature: float = 1.0
  resets: bool = False
  rule: str = "gumbel"
  noise: np.ndarray | None = None
  tied: bool = False  # whether PUCT met a tie, which mctx breaks at random
  process_scores: np.ndarray | None = None  # of each place
  process_weight: float = 1.0
  rollout_steps: int = 0
  rollout_weight: float = 1.0
  held: int = 0  # nodes that an earlier search left below the root

  def run(self, walk=None, context=None):
    walk = walk or toy_task.start(self.problem)
    self.root = self.evaluate(0, walk, context or toy_task.observe(walk), 0)
    if self.noise is None:
      self.noise = np.zeros(self.num_candidates)
    self.before = np.zeros(self.num_candidates, int)
    return self.go_on()

  def go_on(self):
    for simulation in range(self.budget):
      self.simulate(self.root, simulation)
    return self

  @property
  def budget(self):
    return self.num_simulations - self.held

  def follow(self, action):
    """Go down to a child, and number the nodes below it anew, in order."""
    self.root = self.root.children[action]
    self.before = self.root.visits.copy()
    nodes = self.nodes
    for place, index in enumerate(sorted(nodes)):
      nodes[index].index = place
      nodes[index].depth -= 1
    self.held = len(nodes) - 1
    return self

  @property
  def nodes(self):
    """All nodes by index; a depth-capped leaf keeps the first of its."""
    found, queue = {}, [self.root]
    while queue:
      node = queue.pop()
      found[node.index] = node
      queue += node.children.values()
    return found

  # What a node holds.

  def evaluate(self, index, walk, context, depth):
    _, value = fake_model.reference(self.params, context)
    if self.process_scores is not None:
      scored = self.process_scores[walk["place"]]
      value += self.process_weight * (scored - value)
    if self.rollout_steps:
      played = self.rollout(walk, context)
      value += self.rollout_weight * (played - value)
    steps, log_probs = zip(
      *fake_model.beam_search(
        self.params,
        context,
        width=self.num_candidates,
        max_tokens=toy_task.Walk.max_step_tokens,
        stop_ids=toy_task.STOP_IDS,
      ),
      strict=True,
    )
    logits, wins = self.judge(walk, steps, np.array(log_probs))
    return Node(index, walk, context, depth, steps, logits, wins, value)

  def rollout(self, walk, context):
    """Return what greedy play from a state earns."""
    total, discount = 0.0, 1.0
    for _ in range(self.rollout_steps):
      if walk["over"]:
        break
      ((step, _),) = fake_model.beam_search(
        self.params,
        context,
        width=1,
        max_tokens=toy_task.Walk.max_step_tokens,
        stop_ids=toy_task.STOP_IDS,
      )
      walk = self.step(walk, step)
      seen = toy_task.observe(walk)
      context = seen if self.resets else [*context, *step, *seen]
      total += discount * walk["reward"]
      discount *= self.discount
    if walk["over"]:
      return total
    return total + discount * fake_model.reference(self.params, context)[1]

  def step(self, walk, step):
    return toy_task.move(self.problem, walk, step, max_steps=self.max_steps)

  def judge(self, walk, steps, log_probs):
    logits, no_wins = log_probs / self.prior_temperature, [False] * len(steps)
    if self.permission == "nothing":
      return logits, no_wins
    walks = [self.step(walk, step) for step in steps]
    judged, first_at = np.full(len(steps), MASKED), {}
    for k, after in enumerate(walks):
      if after["legal"]:
        first = first_at.setdefault(after["place"], k)
        judged[first] = np.logaddexp(judged[first], logits[k])
    if self.permission == "rules":
      return judged, no_wins
    wins = [
      k in first_at.values() and w["reward"] > 0 for k, w in enumerate(walks)
    ]
    if any(wins):
      for k in first_at.values():
        judged[k] -= 0 if wins[k] else 20
    return judged, wins

  # A simulation.

  def simulate(self, node, simulation):
    """Walk down from `node`; return what the simulation brings from there."""
    is_root = node is self.root
    action = self.select_root(simulation) if is_root else self.select(node)
    child = node.children.get(action)
    if child is None:
      child = self.expand(node, action, self.held + simulation + 1)
      node.children[action] = child
      below = child.raw
    elif child.depth >= self.max_depth:
      below = child.raw  # looked at again, and nothing new is seen
      child.returns.append(below)
    else:
      below = self.simulate(child, simulation)
    total = child.reward + child.discount * below
    node.returns.append(total)
    node.visits[action] += 1
    return total

  def expand(self, node, action, index):
    step, asks = node.steps[action], self.permission != "nothing"
    walk = self.step(node.walk, step) if asks else node.walk
    if not asks and step[-1] == toy_task.TOKENIZER.eos_id:
      walk = {**walk, "over": True}
    if self.resets:
      context = toy_task.observe(walk)
    else:
      answer = toy_task.observe(walk) if asks else []
      context = [*node.context, *step, *answer]
    child = self.evaluate(index, walk, context, node.depth + 1)
    over = walk["over"]
    if self.permission == "checker":
      child.reward = walk["reward"]
    elif over and walk["legal"] and not node.walk["over"]:
      child.reward = child.raw
    child.discount = 0.0 if over else self.discount
    if over:
      child.raw, child.wins = 0.0, [False] * len(child.wins)
    return child

  # Gumbel MuZero.

  def sigma(self, node):
    """Completed and scaled Q (eq. 8, appendix D of Danihelka et al.)."""
    prior = softmax(node.logits)
    seen, n = node.visits > 0, node.visits.sum()
    q, mixed = node.qvalues, node.raw
    if n:
      tiny = np.finfo(np.float32).tiny  # of a step that has no probability
      weight = np.maximum(prior, tiny)[seen]
      mixed = (node.raw + n * weight @ q[seen] / weight.sum()) / (1 + n)
    q = np.where(seen, q, mixed)
    q = (q - q.min()) / max(q.max() - q.min(), 1e-8)
    return 0.1 * (50 + node.visits.max()) * q

  def select(self, node):
    if self.rule == "puct":
      return self.puct(node)
    improved = softmax(node.logits + self.sigma(node))
    return int(np.argmax(improved - node.visits / (1 + node.visits.sum())))

  @property
  def valid(self):
    return self.root.logits > MASKED / 2

  def scores(self):
    """g + logit + sigma(q) of each root candidate, -inf of the invalid."""
    scores = self.noise + self.root.logits + self.sigma(self.root)
    return np.where(self.valid, scores, -np.inf)

  def select_root(self, simulation):
    if self.rule == "puct":
      return self.puct(self.root, self.valid)
    if not self.valid.any():
      return 0
    level = halving(self.valid.sum(), self.budget)[simulation]
    visits = self.root.visits - self.before
    scores = np.where(visits == level, self.scores(), -np.inf)
    return int(np.argmax(scores))

  def action(self):
    if self.rule == "puct":
      return int(np.argmax(self.root.visits))
    visits = self.root.visits - self.before
    visits = visits if visits.any() else self.root.visits
    most = visits == visits.max()
    return int(np.argmax(np.where(most, self.scores(), -np.inf)))

  def improved(self):
    if self.rule == "puct":
      return self.root.visits / self.root.visits.sum()
    if not self.valid.any():
      return np.zeros(len(self.valid))
    logits = self.root.logits + self.sigma(self.root)
    return softmax(np.where(self.valid, logits, -np.inf))

  # PUCT, with Q stretched between the least and the most of its parent and
  # siblings, as in MuZero.

  def puct(self, node, valid=True):
    n = 1 + len(node.returns)
    c = 1.25 + math.log((n + 19652 + 1) / 19652)
    seen, q = node.visits > 0, node.qvalues
    known = [node.value, *q[seen]]
    low, high = min(known), max(known)
    # Stretched to 0 or 1 by a rounding; below an end all is exactly 0.
    self.tied |= bool(seen.any() and high - low < 1e-6 and high > 0)
    q = np.where(seen, (q - low) / max(high - low, 1e-8), 0.0)
    explore = c * math.sqrt(n) * softmax(node.logits) / (1 + node.visits)
    scores = np.where(valid, q + explore, -np.inf)
    least, most = np.sort(scores)[-2:]
    self.tied |= least > most - 1e-6
    return int(np.argmax(scores))


def softmax(logits):
  p = np.exp(logits - np.max(logits))
  return p / p.sum()


def halving(num_actions, num_simulations):
  """Return how often the candidate of each simulation was visited before it.

  Sequential halving (Karnin et al., 2013): in each of log2(m) phases every
  candidate still considered gets the same number of visits; the better half go
  on. The order within a phase is by visits, so that the better ones come first.
  """
  if num_actions == 1:
    return list(range(num_simulations))
  phases = math.ceil(math.log2(num_actions))
  considered, done, order = int(num_actions), 0, []
  while len(order) < num_simulations:
    each = max(1, num_simulations // (phases * considered))
    for visit in range(done, done + each):
      order += [visit] * considered
    done += each
    considered = max(2, considered // 2)
  return order[:num_simulations]
