"""Everything that spends compute to find a better solution."""

from alphallm.search.mcts import mcts
from alphallm.search.memory import memory
from alphallm.search.play import SearchResult
from alphallm.search.policies import Gumbel, Puct
from alphallm.search.search_config import Dials, SearchConfig

__all__ = [
  "Dials",
  "Gumbel",
  "Puct",
  "SearchConfig",
  "SearchResult",
  "mcts",
  "memory",
]
