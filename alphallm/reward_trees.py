"""What the trees of a policy teach a model: their nodes, labelled."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import config as config_lib
from alphallm import measure
from alphallm.rewards import examples, labels
from alphallm.search import play, visited

_BATCH = 64  # trees at a time


def labelled(
  run: config_lib.Run,
  params: Any,
  rng_key: chex.PRNGKey,
  problems: Any,
  num_simulations: int,
  *,
  rules_propose: bool = False,
) -> tuple[examples.States, int]:
  """Return the nodes of search trees as labelled states, and the tokens spent.

  Every problem is searched once, from its beginning, and on after a solution is
  found.

  Args:
    run: whose search it is.
    params: of its policy.
    rng_key: of the searches (consumed).
    problems: `[n, ...]`.
    num_simulations: of each.
    rules_propose: whether K random legal steps stand in where none is legal.

  Raises:
    UserError: if contexts append: a node does not hold its text then.
  """
  if run.task.context != "reset":
    raise config_lib.UserError(
      "config.labels='tree' needs a task whose context is reset; give "
      "'soft', 'hard' or 'omega'"
    )
  search = _search(run, num_simulations, rules_propose)

  def search_once(*given):
    result = search(*given)
    tree = result.tree
    state = tree.embeddings.state
    values, mask = labels.from_tree(
      tree.node_values,
      tree.node_visits,
      terminal=state.terminated,
      reward=state.reward,
    )
    states = examples.States(
      contexts=state.observation,
      ends=state.observation_length,
      labels=values,
      mask=mask & state.legal,
    )
    return states, result.cost.decoded + result.cost.prefilled

  states, tokens = measure.run(
    jax.jit(search_once), params, rng_key, problems, batch_size=_BATCH
  )
  return examples.compact(states), int(tokens.sum())


def branches(
  run: config_lib.Run,
  params: Any,
  rng_key: chex.PRNGKey,
  problems: Any,
  num_simulations: int,
  unroll: int,
  *,
  rules_propose: bool = False,
) -> examples.Walks:
  """Return the candidates of the nodes of search trees as walks of one step.

  A search asks a world model about all candidates, and what it takes to be
  better than it is will be searched: so it is to know more than what the
  policy plays.

  Args:
    run: of a task whose context is reset; whose search it is.
    params: of its policy.
    rng_key: of the searches (consumed).
    problems: `[n, ...]`, of each of which one tree is grown.
    num_simulations: of each.
    unroll: U of the walks, of which U - 1 steps are not there.
    rules_propose: whether K random legal steps stand in where none is legal.
  """
  search = _search(run, num_simulations, rules_propose)

  def ask(*given):
    tree = search(*given).tree
    held = tree.embeddings
    after = visited.after(run.task, tree)
    is_there = (tree.node_visits > 0) & ~held.state.terminated

    def both(of):
      """Return what is of a node beside what is behind each candidate."""
      there, here = of(after), jnp.expand_dims(of(held.state), 2)
      return jnp.stack([jnp.broadcast_to(here, there.shape), there], axis=3)

    walks = examples.Walks(
      contexts=both(lambda state: state.observation),
      ends=both(lambda state: state.observation_length),
      steps=held.tokens[:, :, :, None],
      step_lengths=held.lengths[..., None],
      is_step=(is_there[..., None] & (held.lengths > 0))[..., None],
      legal=after.legal[..., None],
      over=(after.terminated & ~after.truncated)[..., None],
      rewards=(after.reward * after.legal)[..., None],
    )
    return jax.tree.map(
      lambda x: x.reshape(x.shape[0], -1, *x.shape[3:]), walks
    )

  walks = measure.run(
    jax.jit(ask), params, rng_key, problems, batch_size=_BATCH
  )
  return examples.one_step(walks, unroll)


def _search(run, num_simulations, rules_propose):
  """Return the search of one tree a problem, on after a solution is found."""
  config = dataclasses.replace(
    config_lib.for_evaluation(run, num_simulations),
    rules_propose=rules_propose,
    play_solution=False,
  )

  def search(params, rng_keys, problems):
    return play.solve(
      run.model.apply,
      run.task,
      config,
      params,
      rng_keys,
      problems,
      max_moves=1,
      keep_tree=True,
    )

  return search
