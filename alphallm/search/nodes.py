"""What a node holds, what all nodes read, and what lies beside their trees."""

import dataclasses
from typing import Any

import chex
import jax

from alphallm import types
from alphallm.models import attention
from alphallm.search import tree_cache


@chex.dataclass(frozen=True)
class Node:
  """The embedding of a node, as mctx holds it, `[B, N + 1, ...]`.

  Attributes:
    state: the task's state.
    tokens: `[K, T]`, the candidates.
    lengths: `[K]`.
    wins: `[K]` bool, candidates that solve the problem at once.
    likelihoods: `[K]`, of the candidates' tokens, geometric means; `[0]` where
      they are not asked for.
    depth: `[]`, edges from the root.
    context_length: `[]`, tokens that lead here.
    pages: `[A]`, ids of the pages that hold the tokens after the root, of as
      many edges as the ancestors of a node may have.
    context: `[C]`, those tokens, if they are recomputed.
  """

  state: types.State
  tokens: chex.Array
  lengths: chex.Array
  wins: chex.Array
  likelihoods: chex.Array
  depth: chex.Array
  context_length: chex.Array
  pages: chex.Array
  context: chex.Array


@chex.dataclass(frozen=True)
class Beside:
  """What simulations change beside the tree.

  Attributes:
    pages: the pages of the trees; () where there are none.
    cost: what has been spent on each problem.
    solved: `[B]` bool, whether the tree holds a solution.
    num_open: `[B]` int32, edges that can still lead to something new.
  """

  pages: tree_cache.Pages | tuple[()]
  cost: types.Cost
  solved: chex.Array
  num_open: chex.Array


@chex.dataclass(frozen=True)
class Note:
  """What the making of nodes leaves beside the trees, `[B, ...]`.

  Attributes:
    kv: of the tokens that each node adds, per layer; () where there are no
      pages.
    length: int32, number of those tokens.
    cost: of the node; none if it is an end.
    solved: bool, whether a candidate of the node solves the problem.
    num_open: int32, by how many a node that is new changes the open edges.
  """

  kv: tuple[Any, ...]
  length: chex.Array
  cost: types.Cost
  solved: chex.Array
  num_open: chex.Array


@chex.dataclass(frozen=True)
class Keys:
  """The keys of a move, `[B]` each."""

  noise: chex.PRNGKey  # at the root
  nodes: chex.PRNGKey  # of candidates
  rules: chex.PRNGKey  # of steps that the rules propose
  walks: chex.PRNGKey  # of simulations
  action: chex.PRNGKey
  rollouts: chex.PRNGKey

  @classmethod
  def of(cls, rng_keys: chex.PRNGKey) -> "Keys":
    """Return the keys of a move from one `[B]` (consumed)."""
    fold = jax.vmap(jax.random.fold_in, (0, None))
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: fold(rng_keys, i) for i, name in enumerate(names)})


@chex.dataclass(frozen=True)
class Shared:
  """What all nodes of a tree read.

  Attributes:
    keys: of the move.
    prompt: the segment of the root's context.
  """

  keys: Keys
  prompt: attention.Segment
