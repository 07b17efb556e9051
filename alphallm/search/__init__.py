"""Everything that spends compute to find a better solution."""

from alphallm.search.embedded import Embedded
from alphallm.search.mcts import mcts
from alphallm.search.memory import memory
from alphallm.search.play import SearchResult
from alphallm.search.policies import Gumbel, Puct
from alphallm.search.search_config import Dials, SearchConfig
from alphallm.search.strategies import guidance
from alphallm.search.strategies.auto import auto, ease
from alphallm.search.strategies.beam import beam
from alphallm.search.strategies.best_first import best_first
from alphallm.search.strategies.best_of_n import best_of_n
from alphallm.search.strategies.breadth_first import breadth_first
from alphallm.search.strategies.depth_first import depth_first
from alphallm.search.strategies.dvts import dvts
from alphallm.search.strategies.greedy import greedy
from alphallm.search.strategies.lookahead import lookahead
from alphallm.search.strategies.mctsr import mctsr
from alphallm.search.strategies.rebase import rebase
from alphallm.search.strategies.revision import revision
from alphallm.search.strategies.rewriting import rewriting
from alphallm.search.strategies.sampling import sampling
from alphallm.search.strategies.vote import vote

__all__ = [
  "Dials",
  "Embedded",
  "Gumbel",
  "Puct",
  "SearchConfig",
  "SearchResult",
  "auto",
  "beam",
  "best_first",
  "best_of_n",
  "breadth_first",
  "depth_first",
  "dvts",
  "ease",
  "greedy",
  "guidance",
  "lookahead",
  "mcts",
  "mctsr",
  "memory",
  "rebase",
  "revision",
  "rewriting",
  "sampling",
  "vote",
]
