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


@chex.dataclass(frozen=True)
class State:
  """A reasoning state, as a task tells it for one problem.

  The shapes are those of one problem; the search and self-play `vmap` them.

  Attributes:
    legal: `[]` bool, whether the step that led here was legal. An illegal step
      ends the episode without reward.
    observation: `[O]` int32, the tokens with which the environment answers the
      step, padded with the pad id. That of an initial state is the prompt.
    observation_length: `[]` int32, number of tokens in `observation`, `<= O`.
    terminated: `[]` bool, whether the episode is over (solved, illegal, or at
      the task's cap of steps).
    reward: `[]` float32, the reward of the step that led here, 0 or 1.
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
  reward: chex.Array
  fingerprint: chex.Array
  held_out: chex.Array
  inner: Any
