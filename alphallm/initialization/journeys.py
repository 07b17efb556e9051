"""Trees of searches as thoughts, with the wrong turns that were taken.

As O1-Journey (Qin et al., 2024, arXiv:2410.18982); see `thoughts.from_tree`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from alphallm.initialization import thoughts
from alphallm.tasks import proposals


@chex.dataclass(frozen=True)
class Nodes:
  """The nodes of one tree, M of them; node 0 is the root.

  Attributes:
    parent: `[M]` int32, of the root anything.
    order: `[M]` int32, in which nodes were made.
    steps: `[M, T]` int32, the step that leads to each, without its end.
    step_lengths: `[M]` int32.
    states: `[M, O]` int32, what each state says.
    state_lengths: `[M]` int32.
    kept: `[M]` bool, which nodes there are, and may be learnt from.
    over: `[M]` bool, where nothing goes on.
    solved: `[M]` bool, which of these are solutions.
  """

  parent: chex.Array
  order: chex.Array
  steps: chex.Array
  step_lengths: chex.Array
  states: chex.Array
  state_lengths: chex.Array
  kept: chex.Array
  over: chex.Array
  solved: chex.Array


def nodes_of(task: proposals.Proposals, tree: Any) -> Nodes:
  """Return the nodes of B trees, `[B, 2 N, ...]`, in `jnp`.

  Beside each of the N nodes stands the solution that its candidates hold, which
  the search has not visited.

  Args:
    task: that was searched.
    tree: by a search that may ask the checker.
  """
  held, made = tree.embeddings, tree.node_visits > 0
  batch, count = made.shape
  rows, columns = jnp.arange(batch)[:, None], jnp.arange(count)[None]
  parent = jnp.maximum(tree.parents, 0)
  action = jnp.maximum(tree.action_from_parent, 0)
  winner = jnp.argmax(held.wins, axis=-1)
  at = lambda x, node, action: x[rows, node, action]
  steps = [at(held.tokens, parent, action), at(held.tokens, columns, winner)]
  lengths = [
    at(held.lengths, parent, action),
    at(held.lengths, columns, winner),
  ]
  ends = jax.vmap(jax.vmap(task.step))(held.state, steps[1], lengths[1])
  both = lambda one, two: jnp.concatenate([one, two], axis=1)
  says = both(held.state.inner.observation, ends.inner.observation)
  own = jnp.broadcast_to(columns, (batch, count))
  usable = lambda state: state.legal & ~state.held_out
  kept = made & usable(held.state)
  return Nodes(
    parent=both(parent, own),
    order=both(2 * own, 2 * own + 1),
    steps=both(*steps),
    step_lengths=jnp.maximum(both(*lengths) - 1, 0),
    states=says,
    state_lengths=both(
      held.state.inner.observation_length, ends.inner.observation_length
    ),
    kept=both(kept, kept & jnp.any(held.wins, axis=-1)),
    over=both(held.state.terminated, jnp.ones_like(made)),
    solved=both(held.state.reward >= 1, ends.reward >= 1),
  )


def records(
  nodes: Nodes,
  decode: Callable[[Sequence[int]], str],
  *,
  every_state: bool = False,
) -> Iterator[dict[str, str]]:
  """Yield the thought of a tree as a record, prompt and response.

  Without a solution there is none.

  Args:
    nodes: of NumPy arrays.
    decode: ids to text.
    every_state: whether there is a thought that begins at each state on the
      way to a solution, too.
  """
  made = _nested(nodes, decode)
  roots = made.values() if every_state else [made[0]] if 0 in made else []
  for root in roots:
    thought = thoughts.from_tree(root)
    if root.get("children") and thoughts.answer(thought):
      yield {"prompt": root["state"] + "\n", "response": thought}


def _nested(nodes: Nodes, decode) -> dict[int, dict[str, Any]]:
  """Return nodes by number, as `thoughts.from_tree` takes them.

  What lies below a node that is not kept is left out.
  """
  text = lambda row, length: decode(row[:length].tolist()).rstrip("\n")
  found: dict[int, dict[str, Any]] = {}
  for i in np.argsort(nodes.order, kind="stable").tolist():
    parent = int(nodes.parent[i])
    if not nodes.kept[i] or (i and parent not in found):
      continue
    found[i] = {
      "state": text(nodes.states[i], nodes.state_lengths[i]),
      "order": int(nodes.order[i]),
      "children": [],
    }
    if i:
      found[i]["step"] = text(nodes.steps[i], nodes.step_lengths[i])
      found[parent]["children"].append(found[i])
    if nodes.over[i]:
      found[i] |= {
        "value": float(nodes.solved[i]),
        "solved": bool(nodes.solved[i]),
      }
  return found
