"""The pytrees that cross rooms, each field with its shape.

Dimension letters, used in every docstring of the project:

  B  problems (or slots of self-play) in a batch
  K  candidate steps of a node
  N  nodes of a search tree
  T  tokens of a step, at most
  O  tokens of an observation, at most
  D  steps of an episode, at most (depth)
  C  tokens of a context: the prompt and all that follows it
  S  states that share one context in a training example
  L  layers;  H  heads;  V  vocabulary
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp


@chex.dataclass(frozen=True)
class State:
  """A reasoning state, as a task tells it for one problem.

  The shapes are those of one problem; the search and self-play `vmap` them.

  Attributes:
    legal: `[]` bool, whether the step that led here was legal. An illegal step
      ends the episode without reward.
    observation: `[O]` int32, the tokens with which the environment answers the
      step, padded with zeros. That of an initial state is the prompt.
    observation_length: `[]` int32, number of tokens in `observation`, `<= O`.
    terminated: `[]` bool, whether the episode is over (solved, illegal, no way
      on, or at the task's cap of steps).
    truncated: `[]` bool, whether it is over for the cap of steps alone.
    reward: `[]` float32, the reward of the step that led here, in [0, 1]; 1 is
      that of a solution.
    fingerprint: `[]` uint32, equal for equal states: two candidate steps with
      equal fingerprints lead to the same state, and one of them is enough.
    held_out: `[]` bool, whether the state is, up to symmetry, a problem of the
      test split. Such a state is never trained on.
    inner: a pytree of the task's own, which only the task reads.
  """

  legal: chex.Array
  observation: chex.Array
  observation_length: chex.Array
  terminated: chex.Array
  truncated: chex.Array
  reward: chex.Array
  fingerprint: chex.Array
  held_out: chex.Array
  inner: Any


@chex.dataclass(frozen=True)
class Context:
  """What the policy reads at a state.

  Attributes:
    tokens: `[B, C]` int32, padded.
    lengths: `[B]` int32.
  """

  tokens: chex.Array
  lengths: chex.Array


@chex.dataclass(frozen=True)
class Cost:
  """What a search spent, each `[B]` int32.

  Attributes:
    decoded: tokens passed through the network one by one, to sample steps.
    prefilled: tokens passed through it as a whole span.
    model_calls: passes of the network in which the problem took part.
    nodes: states that were evaluated.
  """

  decoded: chex.Array
  prefilled: chex.Array
  model_calls: chex.Array
  nodes: chex.Array

  def __add__(self, other: "Cost") -> "Cost":
    return jax.tree.map(lambda a, b: a + b, self, other)

  @classmethod
  def zeros(cls, batch: int) -> "Cost":
    zero = jnp.zeros((batch,), jnp.int32)
    return cls(decoded=zero, prefilled=zero, model_calls=zero, nodes=zero)


@chex.dataclass(frozen=True)
class Line:
  """Steps to play from a state, with what the search thought of each.

  Attributes:
    tokens: `[B, M, K, T]` int32, the candidates at each of M states in a row.
    lengths: `[B, M, K]` int32.
    actions: `[B, M]` int32, the candidate to play.
    weights: `[B, M, K]` float32, the policy to learn: the search's improved
      one, or one-hot on a solved path; all zero if there is nothing to learn.
    length: `[B]` int32, how many of the M steps are there, at least 1.
    solves: `[B]` bool, whether the line was found to solve the problem.
  """

  tokens: chex.Array
  lengths: chex.Array
  actions: chex.Array
  weights: chex.Array
  length: chex.Array
  solves: chex.Array


@chex.dataclass(frozen=True)
class Visited:
  """Nodes that a search has made, to learn from; shapes are of one node.

  Attributes:
    context: `[C]` int32, what the policy read.
    end: `[]` int32, number of its tokens.
    candidates: `[K, T]` int32.
    lengths: `[K]` int32, number of tokens of each.
    weights: `[K]` float32, the improved policy; zeros where none is legal.
    qvalues: `[K]` float32, of the candidates that were visited, else 0.
    visits: `[K]` int32.
    illegal: `[K]` bool, which of them the environment does not allow.
    solution: `[K]` float32, one-hot, with which of them the shortest solution
      in the tree begins; zeros where there is none below.
    num_left: `[]` int32, steps of that solution; 0 where there is none.
    value: `[]` float32, the search's.
    share: `[]` float32, of the simulations of its tree that passed it.
    mask: `[]` bool, whether it exists and may be trained on.
  """

  context: chex.Array
  end: chex.Array
  candidates: chex.Array
  lengths: chex.Array
  weights: chex.Array
  qvalues: chex.Array
  visits: chex.Array
  illegal: chex.Array
  solution: chex.Array
  num_left: chex.Array
  value: chex.Array
  share: chex.Array
  mask: chex.Array


@chex.dataclass(frozen=True)
class Episode:
  """One attempt at a problem: D + 1 states, of which a short one uses fewer.

  Shapes are of one episode; R is 1 where contexts append (one context holds
  all states), D + 1 where they reset (a context for each state).

  Attributes:
    contexts: `[R, C]` int32, what the policy read.
    ends: `[D + 1]` int32, how many tokens of its context each state has read.
    steps: `[D + 1, T]` int32, the steps that were played.
    step_lengths: `[D + 1]` int32, number of tokens of each.
    legal: `[D + 1]` bool, which of them the rules allow.
    rewards: `[D + 1]` float32, what each earns: what the environment pays,
      until the run's reward takes its place, see `alphallm.learning.payment`.
    candidates: `[D + 1, J, T]` int32, the J heaviest candidates at each state.
    candidate_lengths: `[D + 1, J]` int32.
    weights: `[D + 1, J]` float32, the policy to learn, or all zero.
    on_solution: `[D + 1]` bool, whether the weights come from a solved path.
    root_values: `[D + 1]` float32, the search's value of each state.
    mask: `[D + 1]` bool, states that exist and may be trained on.
    num_steps: `[]` int32, steps played.
    solved: `[]` bool, whether the last step solved the problem.
  """

  contexts: chex.Array
  ends: chex.Array
  steps: chex.Array
  step_lengths: chex.Array
  legal: chex.Array
  rewards: chex.Array
  candidates: chex.Array
  candidate_lengths: chex.Array
  weights: chex.Array
  on_solution: chex.Array
  root_values: chex.Array
  mask: chex.Array
  num_steps: chex.Array
  solved: chex.Array
