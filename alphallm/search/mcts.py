"""Monte-Carlo tree search over steps: a function of a network and a task."""

from collections.abc import Callable
from typing import Any

import chex

from alphallm.models import network
from alphallm.search import embedded, play, policies, search_config
from alphallm.tasks import base


def mcts(
  apply_fn: network.Network,
  task: base.Task,
  *,
  max_moves: chex.Numeric | None = None,
  policy: policies.Policy = policies.Gumbel(gumbel_scale=0.0),  # noqa: B008
  world: Callable[[Any], embedded.Embedded] | None = None,
  **settings: Any,
) -> Callable[..., play.SearchResult]:
  """Return the search `(params, rng_key, problems, **dials) -> SearchResult`.

  It is pure and made for `jax.jit`; a problem's result depends on the key and
  on its place in the batch (or on its own key, if `rng_key` is `[B]` of them),
  and on no other problem. The dials are those of
  `SearchConfig.dials`, `num_simulations` and others: given at the call, they
  may be traced, and change without compiling again.

  Args:
    apply_fn: the network; `models.without_cache` makes one of any function from
      tokens to logits.
    task: where the problems come from; `tasks.Text` for prompts.
    max_moves: searches of a problem at most, 1 for its best next step; `None`:
      until it is over.
    policy: `policies.Gumbel` or `policies.Puct`; by default without noise.
    world: returns, from the parameters, in what to search instead of the
      environment, which answers the steps that are played alone.
    **settings: of `SearchConfig`: `num_simulations`, `num_candidates`, ...
  """
  config = search_config.SearchConfig(policy=policy, **settings)

  def run(params, rng_key, problems, **dials: chex.Numeric):
    return play.solve(
      apply_fn,
      task,
      config,
      params,
      play.keys_of(rng_key, problems),
      problems,
      max_moves=max_moves,
      dials=config.dials(**dials),
      keep_tree=True,
      world=world and world(params),
    )

  return run
