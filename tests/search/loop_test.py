import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import types
from alphallm.search import loop


@chex.dataclass(frozen=True)
class Nodes:
  wins: chex.Array


@chex.dataclass(frozen=True)
class Tree:
  embeddings: Nodes
  visits: chex.Array


def run(num_simulations, solved_at, *, stop_when_solved):
  """Loop over trees that count; problem b is solved after `solved_at[b]`."""
  batch = len(solved_at)
  one = types.Cost.zeros(batch).replace(nodes=jnp.ones((batch,), jnp.int32))
  beside = loop.Beside(pages=jnp.zeros((9,), jnp.int32), cost=one)

  def body(sim, carry):
    key, tree = carry
    beside.pages = beside.pages.at[beside.sim].set(sim + 1)
    beside.cost = beside.cost + one
    visits = tree.visits + 1
    wins = (visits >= jnp.array(solved_at))[:, None, None]
    return key, tree.replace(embeddings=Nodes(wins=wins), visits=visits)

  nodes = Nodes(wins=jnp.zeros((batch, 1, 1), bool))
  tree = Tree(embeddings=nodes, visits=jnp.zeros((batch,), jnp.int32))
  _, tree = loop.run(
    beside,
    0,
    num_simulations,
    body,
    (jax.random.key(0), tree),
    stop_when_solved=stop_when_solved,
  )
  return jax.tree.map(np.asarray, (tree.visits, beside.pages, beside.cost))


@pytest.mark.parametrize(
  ("stop_when_solved", "visits", "simulations"),
  [(False, [6, 6, 6], 6), (True, [2, 4, 3], 4)],
)
def test_carries_what_is_beside_the_tree(stop_when_solved, visits, simulations):
  found, pages, cost = run(6, [2, 4, 3], stop_when_solved=stop_when_solved)
  assert found.tolist() == visits
  assert (cost.nodes - 1).tolist() == visits
  expected = [i + 1 if i < simulations else 0 for i in range(9)]
  assert pages.tolist() == expected


def test_no_simulations_change_nothing():
  found, pages, cost = run(0, [2, 2], stop_when_solved=True)
  assert not found.any() and not pages.any() and cost.nodes.tolist() == [1, 1]
