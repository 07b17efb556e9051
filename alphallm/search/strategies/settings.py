"""The settings that all strategies share."""

import dataclasses

from alphallm.search.search_config import Permission
from alphallm.search.truncation import Truncation


@dataclasses.dataclass(frozen=True)
class Settings:
  """How steps are sampled, and what may be asked; see `SearchConfig`."""

  num_candidates: int = 4  # K, ways on from a path
  permission: Permission = "checker"
  noise: bool = True  # steps are sampled; else the K most probable
  distinct: bool = True  # without replacement; else independently
  candidate_temperature: float = 1.0  # of the tokens sampled
  top_k: int = 0  # tokens that may be sampled; 0: all
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
