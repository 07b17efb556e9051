"""What a learner is: examples made of what was visited, and a loss of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, Protocol

import chex

from alphallm import types


@dataclasses.dataclass(frozen=True)
class Setting:
  """What learners ask of the run that they are part of.

  Attributes:
    discount: γ.
    group_size: G, slots in a row that attempt the same problems; 1: none do.
    num_targets: J, candidates of a state that are imitated, the heaviest.
  """

  discount: float
  group_size: int = 1
  num_targets: int = 1


class Objective(Protocol):
  """A learner: static, closed over; its fields are its options.

  Attributes:
    nodes: which nodes of the trees it learns from, beside the episodes: none,
      the roots or all.
    takes: what it takes of the rewards of steps: `"returns"`; `"values"`, which
      are learned from returns and lie in [0, 1]; `"sums"`, by which attempts
      are compared; or nothing, where trees have values of their own.
    least_group: attempts at a problem that it compares; with 1 or more, all
      episodes of a round are played by the policy of that round.
    recall: `(apply_fn, params, batch) -> batch`, which completes examples by
      what the policy that played says of them; `None`: nothing is missing.
    augments: whether its examples may be shown under symmetries of the task.
    refers: whether its loss needs a reference policy.
  """

  nodes: Literal["", "roots", "all"]
  takes: Literal["returns", "values", "sums", ""]
  least_group: int
  recall: Callable[..., Any] | None
  augments: bool
  refers: bool

  def examples(
    self,
    episodes: types.Episode,
    done: chex.Array,
    nodes: types.Visited | None,
    rng_key: chex.PRNGKey,
    setting: Setting,
  ) -> tuple[Any, chex.Array]:
    """Make examples of what a round has brought.

    Args:
      episodes: `[B, M, ...]`, of B slots after each of M moves.
      done: `[B, M]` bool, which of them are whole.
      nodes: `[B, M, n, ...]` where the learner asked for them.
      rng_key: what is drawn (consumed).
      setting: of the run.

    Returns:
      Examples with one leading axis, and which of them to keep.
    """

  def loss(
    self,
    apply_fn: Callable[..., Any],
    params: Any,
    batch: Any,
    *,
    reference: Any = None,
    kl_weight: chex.Numeric = 0.0,
  ) -> tuple[chex.Array, dict[str, chex.Array]]:
    """Return the loss of a batch of examples, and its parts.

    Args:
      apply_fn: the network.
      params: of the policy.
      batch: examples.
      reference: the parameters of π_ref; `None`: there is none.
      kl_weight: β of KL(π‖π_ref).
    """
