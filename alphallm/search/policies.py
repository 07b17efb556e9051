"""How a tree is searched: Gumbel MuZero and PUCT, on mctx's trees.

Both choose actions by mctx's own rules. They differ from
`mctx.gumbel_muzero_policy` and `mctx.muzero_policy` in two things: noise comes
from a key per problem, so that a result does not depend on how the problems
were batched, and the number of simulations may be a traced number per problem.
"""

import dataclasses
import functools
import math
from typing import Any, Protocol

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np

_ROOT = mctx.Tree.ROOT_INDEX


class Policy(Protocol):
  """What a search asks of its policy; static, closed over.

  Attributes:
    least_simulations: fewer cannot be searched with.
  """

  least_simulations: int

  def quiet(self) -> "Policy":
    """Return the policy without its exploration, to play one's best."""

  def prepare(
    self,
    rng_keys: chex.PRNGKey,
    root: mctx.RootFnOutput,
    invalid_actions: chex.Array,
    budget: chex.Array,
    *,
    num_simulations: int,
    visits: chex.Array,
  ) -> tuple[mctx.RootFnOutput, Any]:
    """Return the root to search from, and the `extra_data` of the trees.

    Args:
      rng_keys: `[B]` keys (consumed).
      root: prior logits `[B, K]`, value `[B]`, embedding.
      invalid_actions: `[B, K]`, ones = invalid.
      budget: `[B]` int32, simulations to come, at most `num_simulations`.
      num_simulations: N.
      visits: `[B, K]` int32, that the actions have had in earlier searches.
    """

  def choose_at_root(
    self, rng_key: chex.PRNGKey, tree: mctx.Tree, node: chex.Numeric
  ) -> chex.Array:
    """Return an action at the root; mctx's `RootActionSelectionFn`."""

  def choose_below(
    self,
    rng_key: chex.PRNGKey,
    tree: mctx.Tree,
    node: chex.Numeric,
    depth: chex.Numeric,
  ) -> chex.Array:
    """Return an action below it; mctx's `InteriorActionSelectionFn`."""

  def decide(
    self, rng_keys: chex.PRNGKey, tree: mctx.Tree
  ) -> tuple[chex.Array, chex.Array]:
    """Return what to play, `[B]`, and the improved policy, `[B, K]`.

    Where all actions are invalid, action 0 is returned.
    """

  def is_decided(self, tree: mctx.Tree, left: chex.Array) -> chex.Array:
    """Return where no further simulation can change what is played, `[B]`.

    Args:
      tree: under way.
      left: `[B]` int32, simulations to come.
    """


@chex.dataclass(frozen=True)
class GumbelData:
  """The `extra_data` of a Gumbel search.

  Attributes:
    root_gumbel: `[B, K]` float32, the noise at the root.
    schedule: `[B, N + 1]` int32, how many visits an action must have had to be
      considered at the root, for each simulation.
    before: `[B, K]` int32, visits of earlier searches, which do not count.
  """

  root_gumbel: chex.Array
  schedule: chex.Array
  before: chex.Array


@dataclasses.dataclass(frozen=True)
class Gumbel:
  """Gumbel MuZero (Danihelka et al., 2022), all K actions considered.

  Attributes:
    gumbel_scale: scale of the noise at the root; 0 to play one's best.
    rescale_values: whether a node's Q-values are stretched to [0, 1].
    value_scale: weight of Q against the prior, times 50 + visits.
  """

  least_simulations = 0  # that acts by the perturbed prior alone

  gumbel_scale: float = 1.0
  rescale_values: bool = True
  value_scale: float = 0.1

  def quiet(self) -> "Gumbel":
    return dataclasses.replace(self, gumbel_scale=0.0)

  def prepare(
    self, rng_keys, root, invalid_actions, budget, *, num_simulations, visits
  ):
    logits = _mask(root.prior_logits, invalid_actions)
    k = logits.shape[-1]
    draw = lambda key: jax.random.gumbel(key, (k,), logits.dtype)
    num_valid = jnp.sum(1 - invalid_actions.astype(jnp.int32), axis=-1)
    data = GumbelData(
      root_gumbel=self.gumbel_scale * jax.vmap(draw)(rng_keys),
      schedule=jnp.asarray(_schedules(k, num_simulations))[budget, num_valid],
      before=visits,
    )
    return root.replace(prior_logits=logits), data

  def choose_at_root(self, rng_key, tree, node):
    del rng_key
    visits = tree.children_visits[node] - tree.extra_data.before
    considered = tree.extra_data.schedule[jnp.sum(visits)]
    return _best(
      tree.children_prior_logits[node] + tree.extra_data.root_gumbel,
      self._qvalues(tree, node),
      visits == considered,
      tree.root_invalid_actions,
    )

  def choose_below(self, rng_key, tree, node, depth):
    return mctx.gumbel_muzero_interior_action_selection(
      rng_key, tree, node, depth, qtransform=self._qvalues
    )

  def decide(self, rng_keys, tree):
    del rng_keys
    logits = tree.children_prior_logits[:, _ROOT]
    qvalues = jax.vmap(self._qvalues, (0, None))(tree, _ROOT)
    total = tree.children_visits[:, _ROOT]
    visits = total - tree.extra_data.before
    # Where this search had no budget left, those before it decide.
    visits = jnp.where(jnp.any(visits > 0, -1, keepdims=True), visits, total)
    action = _best(
      logits + tree.extra_data.root_gumbel,
      qvalues,
      visits == jnp.max(visits, axis=-1, keepdims=True),
      tree.root_invalid_actions,
    )
    improved = _mask(logits + qvalues, tree.root_invalid_actions)
    return action, jax.nn.softmax(improved)

  def is_decided(self, tree, left):
    del left
    return _has_no_choice(tree)

  def _qvalues(self, tree, node):
    return mctx.qtransform_completed_by_mix_value(
      tree,
      node,
      rescale_values=self.rescale_values,
      value_scale=self.value_scale,
    )


@dataclasses.dataclass(frozen=True)
class Puct:
  """PUCT (AlphaZero, Silver et al., 2018).

  Attributes:
    dirichlet_fraction: share of noise in the root's prior; 0 for none.
    dirichlet_alpha: concentration of that noise.
    temperature: the action is drawn from visits ** (1 / temperature); 0 takes
      the most visited.
    rescale_values: whether the Q-values of a node and its children are
      stretched to [0, 1], as in MuZero; else they are taken as they are, which
      suits rewards in [0, 1].
  """

  least_simulations = 1

  dirichlet_fraction: float = 0.25
  dirichlet_alpha: float = 0.3
  temperature: float = 1.0
  rescale_values: bool = True

  def quiet(self) -> "Puct":
    return dataclasses.replace(self, dirichlet_fraction=0.0, temperature=0.0)

  def prepare(
    self, rng_keys, root, invalid_actions, budget, *, num_simulations, visits
  ):
    del budget, num_simulations, visits
    k = root.prior_logits.shape[-1]
    draw = lambda key: jax.random.dirichlet(
      key, jnp.full((k,), self.dirichlet_alpha)
    )
    prior = jax.nn.softmax(_mask(root.prior_logits, invalid_actions))
    noise = self.dirichlet_fraction * jax.vmap(draw)(rng_keys)
    prior = (1 - self.dirichlet_fraction) * prior + noise
    logits = _mask(jnp.log(jnp.maximum(prior, 1e-30)), invalid_actions)
    return root.replace(prior_logits=logits), None

  def choose_at_root(self, rng_key, tree, node):
    return self.choose_below(rng_key, tree, node, 0)

  def choose_below(self, rng_key, tree, node, depth):
    transform = mctx.qtransform_by_parent_and_siblings
    if not self.rescale_values:
      transform = functools.partial(
        mctx.qtransform_by_min_max, min_value=0.0, max_value=1.0
      )
    return mctx.muzero_action_selection(
      rng_key, tree, node, depth, qtransform=transform
    )

  def decide(self, rng_keys, tree):
    # A root that was not searched is played by its prior.
    prior = _mask(
      tree.children_prior_logits[:, _ROOT], tree.root_invalid_actions
    )
    searched = jnp.any(tree.children_visits[:, _ROOT] > 0, axis=-1)
    weights = jnp.where(
      searched[:, None], tree.summary().visit_probs, jax.nn.softmax(prior)
    )
    if self.temperature == 0:
      return jnp.argmax(weights, axis=-1), weights
    scores = jnp.log(jnp.maximum(weights, 1e-30)) / self.temperature
    return jax.vmap(jax.random.categorical)(rng_keys, scores), weights

  def is_decided(self, tree, left):
    # What has not been visited is not played.
    visits = tree.children_visits[:, _ROOT]
    most = jnp.max(visits, axis=-1)
    decided = _has_no_choice(tree) & (most > 0)
    if self.temperature > 0:
      return decided
    leads = jax.nn.one_hot(jnp.argmax(visits, -1), visits.shape[-1], dtype=bool)
    second = jnp.max(jnp.where(leads, 0, visits), axis=-1)
    return decided | (most - second > left)


def _has_no_choice(tree: mctx.Tree) -> chex.Array:
  """Return where at most one action is valid, `[B]`."""
  return jnp.sum(~tree.root_invalid_actions.astype(bool), axis=-1) <= 1


def _mask(logits: chex.Array, invalid_actions: chex.Array) -> chex.Array:
  logits = logits - jnp.max(logits, axis=-1, keepdims=True)
  return jnp.where(invalid_actions, jnp.finfo(logits.dtype).min, logits)


def _best(logits, qvalues, considered, invalid_actions) -> chex.Array:
  """Return the best of the valid actions that are considered, `[...]`."""
  # Finite, so that the only one considered can be chosen, whatever its prior.
  scores = jnp.maximum(logits + qvalues, -1e9)
  chosen = considered & ~invalid_actions.astype(bool)
  scores = jnp.where(chosen, scores, -jnp.inf)
  return jnp.argmax(scores, axis=-1).astype(jnp.int32)


def halving(num_considered: int, num_simulations: int) -> list[int]:
  """Return the schedule of Sequential Halving (Karnin et al., 2013).

  Simulation i goes to an action that has had as many visits as entry i says:
  first one visit for each action in turn, and so on for a share of the budget,
  then only for the better half of them, which alone goes on to be visited.

  Args:
    num_considered: actions at first.
    num_simulations: the budget, length of the result.
  """
  if num_considered <= 1:
    return list(range(num_simulations))
  rounds, left = math.ceil(math.log2(num_considered)), num_considered
  schedule, visits = [], 0
  while len(schedule) < num_simulations:
    for _ in range(max(1, num_simulations // (rounds * left))):
      schedule += [visits] * left
      visits += 1
    left = max(2, left // 2)
  return schedule[:num_simulations]


@functools.lru_cache
def _schedules(num_actions: int, num_simulations: int) -> np.ndarray:
  """Return the schedules of all budgets and numbers of valid actions.

  `[N + 1, K + 1, N + 1]`; behind a budget stand entries that nobody has.
  """
  n, k = num_simulations, num_actions
  table = np.full((n + 1, k + 1, n + 1), -1, np.int32)
  for budget in range(1, n + 1):
    for considered in range(k + 1):
      table[budget, considered, :budget] = halving(considered, budget)
  return table
