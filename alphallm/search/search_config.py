"""The settings of a search.

What it may ask of the environment is its `permission`:

  nothing  a step is only text: neither its legality nor its outcome is known
  rules    legality, observations and termination
  checker  also whether a state solves the problem
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import chex

from alphallm import types
from alphallm.search import policies
from alphallm.search.truncation import Truncation

Permission = Literal["nothing", "rules", "checker"]

# What one state of reasoning is worth, `(state) -> [] float32` in [0, 1].
ProcessReward = Callable[[types.State], chex.Array]


@dataclasses.dataclass(frozen=True)
class Settings:
  """How steps are sampled, and what may be asked: what all searches share."""

  num_candidates: int = 4  # K, ways on from a state
  permission: Permission = "checker"
  noise: bool = True  # steps are sampled; else the K most probable
  distinct: bool = True  # without replacement; else independently, and merged
  candidate_temperature: float = 1.0  # of the tokens sampled
  top_k: int = 0  # tokens that may be sampled, see `Truncation`; 0: all
  top_p: float = 1.0  # their share of the probability
  min_p: float = 0.0  # their least probability, of the greatest

  def __post_init__(self):
    if self.permission not in ("nothing", "rules", "checker"):
      raise ValueError(
        f"permission={self.permission!r} is none of nothing, rules, checker"
      )
    if self.num_candidates < 1:
      raise ValueError(f"num_candidates={self.num_candidates} is too small")
    if self.candidate_temperature <= 0:
      raise ValueError(
        f"candidate_temperature={self.candidate_temperature} is not above 0"
      )
    if not (self.distinct or self.noise):
      raise ValueError("candidates that are not distinct need noise")
    _ = self.truncation  # refuses what is out of range

  @property
  def truncation(self) -> Truncation:
    return Truncation(top_k=self.top_k, top_p=self.top_p, min_p=self.min_p)

  @property
  def checks(self) -> bool:
    return self.permission == "checker"


@chex.dataclass(frozen=True)
class Dials:
  """Settings that may be traced: they change without compiling again.

  Attributes:
    num_simulations: `[]` or `[B]` int32, at most the config's, which is the
      room of the trees.
    max_depth: `[]` int32, at most the config's.
    temperature: `[]` or `[B]` float32, of the tokens sampled.
  """

  num_simulations: chex.Numeric
  max_depth: chex.Numeric
  temperature: chex.Numeric


@dataclasses.dataclass(frozen=True)
class SearchConfig(Settings):
  """How one move is searched."""

  num_simulations: int = 16
  num_candidates: int = 8  # K
  max_depth: int = 16  # most steps from the root to a leaf
  policy: policies.Policy = policies.Gumbel()
  discount: float = 0.97  # per step
  prior_temperature: float = 1.0  # divides the steps' log-probabilities
  leaf_value: Literal["network", "likelihood"] = "network"  # see `Expander`
  process_reward: ProcessReward | None = None  # in pure `jnp`, of any state
  process_weight: float = 1.0  # of it against the network's value
  rollout_steps: int = 0  # played on from a leaf, for its value; 0: none
  rollout_weight: float = 1.0  # of a rollout against the value without it
  play_solution: bool = True  # a solution found in the tree is played
  searched_steps: int = 0  # of an episode, the first; then no trees. 0: all
  replant: bool = False  # a tree that can win no more is grown anew
  stop_decided: bool = False  # a tree rests once its move cannot change
  rules_propose: bool = False  # random legal steps where no candidate is legal
  cache: Literal["pages", "recompute"] = "pages"
  page_dtype: str = ""  # of keys and values in pages; "": the network's own
  carry_over: bool = False  # the subtree of the step played is searched on
  width: int = 1  # leaves of a tree that are evaluated at once
  shrink: int = 0  # quarterings of the batch, once so few are unsolved

  def __post_init__(self):
    super().__post_init__()
    if self.cache not in ("pages", "recompute"):
      raise ValueError(f"cache={self.cache!r} is neither pages nor recompute")
    if self.leaf_value not in ("network", "likelihood"):
      raise ValueError(
        f"leaf_value={self.leaf_value!r} is neither network nor likelihood"
      )
    if self.leaf_value == "likelihood" and self.rollout_steps:
      raise ValueError(
        "leaf_value='likelihood' and rollouts exclude each other"
      )
    if self.rules_propose and self.permission == "nothing":
      raise ValueError("rules_propose needs permission 'rules' or 'checker'")
    if self.num_simulations < 0:
      raise ValueError(f"num_simulations={self.num_simulations} is too small")
    if self.process_reward is not None:
      if not callable(self.process_reward):
        raise ValueError("process_reward is a function, not a value")
      if self.permission == "nothing":
        raise ValueError(
          "process_reward needs permission 'rules' or 'checker': it scores the "
          "state after a step"
        )
      if self.leaf_value == "likelihood":
        raise ValueError(
          "leaf_value='likelihood' and process_reward exclude each other"
        )
    if not 0 <= self.process_weight <= 1:
      raise ValueError(f"process_weight={self.process_weight} is not 0 to 1")
    if self.rollout_steps and self.permission != "checker":
      raise ValueError("rollouts need permission 'checker': they earn rewards")
    if not 0 <= self.rollout_weight <= 1 or self.rollout_steps < 0:
      raise ValueError(
        f"rollout_weight={self.rollout_weight} is not 0 to 1, or rollout_steps="
        f"{self.rollout_steps} not 0 or more"
      )
    if self.searched_steps < 0:
      raise ValueError(f"searched_steps={self.searched_steps} is below 0")
    if self.replant and (self.carry_over or not self.plays_solution):
      raise ValueError(
        "replant needs permission 'checker' and play_solution: only then is it "
        "known that a tree can win no more; and carry_over follows one tree"
      )
    if self.carry_over and not self.num_simulations:
      raise ValueError("carry_over needs num_simulations above 0")
    if self.width < 1 or (self.width > 1 and self.shrink):
      raise ValueError(
        f"width={self.width}, shrink={self.shrink}: a width above 1 is for few "
        "problems, shrinking for many"
      )
    if self.page_dtype not in ("", "bfloat16", "float16", "float32"):
      raise ValueError(
        f"page_dtype={self.page_dtype!r} is none of bfloat16, float16, float32"
      )

  def sizes(self, batch: int) -> tuple[int, ...]:
    """Return the batches in which B problems are searched after the first."""
    sizes = [batch >> 2 * i for i in range(1, self.shrink + 1)]
    return tuple(size for size in sizes if size)

  def dials(self, **changed: chex.Numeric) -> Dials:
    """Return the config's own dials, or some of them changed.

    Raises:
      ValueError: for a dial above what the config has room for. A traced one is
        cut down to that instead.
    """
    room = {"num_simulations": self.num_simulations, "max_depth": self.depth}
    for name, most in room.items():
      value = changed.get(name)
      if isinstance(value, int) and not 0 <= value <= most:
        raise ValueError(f"{name}={value} is not 0 to the config's {most}")
    return Dials(
      **{
        "num_simulations": self.num_simulations,
        "max_depth": self.depth,
        "temperature": self.candidate_temperature,
        **changed,
      }
    )

  @property
  def plays_solution(self) -> bool:
    return self.play_solution and self.checks

  @property
  def depth(self) -> int:
    return max(1, min(self.max_depth, self.num_simulations))

  @property
  def line_length(self) -> int:
    """M, the most steps that a move plays."""
    return 1 + self.depth if self.plays_solution else 1
