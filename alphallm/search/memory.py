"""What a search holds in memory, known before anything is allocated."""

import functools
from typing import Any

import jax

from alphallm.models import network
from alphallm.search import context as context_lib
from alphallm.search import search_config, tree_search
from alphallm.tasks import base


def memory(
  apply_fn: network.Network,
  task: base.Task,
  config: search_config.SearchConfig,
  params: Any,
  problems: Any,
) -> dict[str, int]:
  """Return the bytes that the search of one move holds from its first to last.

  What a single pass of the network needs comes on top of it.

  Args:
    apply_fn: the network.
    task: where the problems come from.
    config: how to search.
    params: of the network; shapes suffice.
    problems: `[B, ...]`; shapes suffice.

  Returns:
    Bytes of `prompt`, the keys and values of the roots' contexts; of `pages`,
    those of the nodes; of `tree`, all else that nodes hold.
  """

  def move(params, problems):
    begin = jax.vmap(functools.partial(context_lib.initial, task))(problems)
    state = jax.vmap(task.init)(problems)
    keys = jax.random.split(jax.random.key(0), begin.lengths.shape[0])
    return tree_search.search(
      apply_fn, task, config, params, keys, state, begin
    )

  found = jax.eval_shape(move, params, problems)
  parts = {
    "prompt": found.cache.prompt,
    "pages": found.cache.pages,
    "tree": found.tree,
  }
  size = lambda tree: sum(
    x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)
  )
  return {name: size(part) for name, part in parts.items()}
