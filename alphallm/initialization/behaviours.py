"""What behaviours a policy shows in its thoughts, and decoding without one."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np

from alphallm.initialization import thoughts
from alphallm.models import network
from alphallm.tasks import long_thoughts

_NEVER = -1e9  # added to the logit of a token that is not to be written


@dataclasses.dataclass(frozen=True)
class Usage:
  """One behaviour in many thoughts.

  Attributes:
    times: mean number of its spans in a thought.
    shown: `[n]` bool, which thoughts have one.
    solved: `[n]` bool, which thoughts solve their problem.
  """

  times: float
  shown: np.ndarray
  solved: np.ndarray

  @property
  def share(self) -> float:
    """Of the thoughts, those that show it."""
    return float(np.mean(self.shown))

  def success(self, shown: bool) -> tuple[int, int]:
    """Return of how many thoughts, that show it or do not, how many solve."""
    chosen = self.shown == shown
    return int(self.solved[chosen].sum()), int(chosen.sum())


def usage(texts: Sequence[str], solved: np.ndarray) -> dict[str, Usage]:
  """Return how the six behaviours are used in thoughts.

  Args:
    texts: the thoughts.
    solved: `[n]` bool, which of them solve their problem.
  """
  counts = [thoughts.count(text) for text in texts]
  found = {}
  for name in long_thoughts.MARKS:
    times = np.array([count[name] for count in counts])
    found[name] = Usage(
      times=float(times.mean()), shown=times > 0, solved=np.asarray(solved)
    )
  return found


def with_bias(apply_fn: network.Network) -> network.Network:
  """Return a network whose parameters are `(params, bias [V])`.

  The bias is added to the logits; see `mask`.
  """

  def biased(params: Any, *args: Any, **options: Any) -> network.Output:
    inner, bias = params
    output = apply_fn(inner, *args, **options)
    places = tuple(range(output.logits.ndim - 1))
    return output.replace(logits=output.logits + jnp.expand_dims(bias, places))

  return biased


def mask(vocab_size: int, tokens: Sequence[int] = ()) -> chex.Array:
  """Return the bias `[V]` with which some tokens are never written."""
  bias = np.zeros(vocab_size, np.float32)
  bias[list(tokens)] = _NEVER
  return jnp.asarray(bias)
