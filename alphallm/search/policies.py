"""How a tree is searched: Gumbel MuZero and PUCT, through mctx.

Both run `mctx.search` with mctx's own selection functions. They differ from
`mctx.gumbel_muzero_policy` and `mctx.muzero_policy` in one thing: the noise at
the root comes from a key per problem, so that a result does not depend on how
the problems were batched.
"""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import mctx

# `mctx.search` given the network, the depth and the loop: what is left to pass
# are the root, the simulations, and how actions are selected.
Search = Callable[..., mctx.Tree]
# (search, rng_keys, root, num_simulations=, invalid_actions=), as `gumbel`.
Policy = Callable[..., mctx.PolicyOutput]


def _mask(logits: chex.Array, invalid_actions: chex.Array) -> chex.Array:
  logits = logits - jnp.max(logits, axis=-1, keepdims=True)
  return jnp.where(invalid_actions, jnp.finfo(logits.dtype).min, logits)


def gumbel(
  search: Search,
  rng_keys: chex.PRNGKey,
  root: mctx.RootFnOutput,
  *,
  num_simulations: int,
  invalid_actions: chex.Array,
  gumbel_scale: float = 1.0,
  rescale_values: bool = True,
  value_scale: float = 0.1,
) -> mctx.PolicyOutput:
  """Search by Gumbel MuZero (Danihelka et al., 2022), all K considered.

  Args:
    search: runs the simulations.
    rng_keys: `[B]` keys (consumed).
    root: prior logits `[B, K]`, value `[B]`, embedding.
    num_simulations: N; 0 acts by the perturbed prior alone.
    invalid_actions: `[B, K]`, ones = invalid. If all are, action 0 is returned.
    gumbel_scale: scale of the noise at the root; 0 to play one's best.
    rescale_values: whether a node's Q-values are stretched to [0, 1].
    value_scale: weight of Q against the prior, times 50 + visits.

  Returns:
    action `[B]`, improved policy `[B, K]`, and the tree.
  """
  logits = _mask(root.prior_logits, invalid_actions)
  draw = lambda key: jax.random.gumbel(key, logits.shape[1:], logits.dtype)
  noise = gumbel_scale * jax.vmap(draw)(rng_keys)
  qtransform = functools.partial(
    mctx.qtransform_completed_by_mix_value,
    rescale_values=rescale_values,
    value_scale=value_scale,
  )
  tree = search(
    root=root.replace(prior_logits=logits),
    root_action_selection_fn=functools.partial(
      mctx.gumbel_muzero_root_action_selection,
      num_simulations=max(num_simulations, 1),
      max_num_considered_actions=logits.shape[-1],
      qtransform=qtransform,
    ),
    interior_action_selection_fn=functools.partial(
      mctx.gumbel_muzero_interior_action_selection, qtransform=qtransform
    ),
    num_simulations=num_simulations,
    invalid_actions=invalid_actions,
    extra_data=mctx.GumbelMuZeroExtraData(root_gumbel=noise),
  )
  qvalues = jax.vmap(qtransform, (0, None))(tree, tree.ROOT_INDEX)
  visits = tree.children_visits[:, tree.ROOT_INDEX]
  most = visits == jnp.max(visits, axis=-1, keepdims=True)
  score = jnp.where(
    most & ~invalid_actions.astype(bool), noise + logits + qvalues, -jnp.inf
  )
  improved = jax.nn.softmax(_mask(logits + qvalues, invalid_actions))
  return mctx.PolicyOutput(
    action=jnp.argmax(score, axis=-1), action_weights=improved, search_tree=tree
  )


def puct(
  search: Search,
  rng_keys: chex.PRNGKey,
  root: mctx.RootFnOutput,
  *,
  num_simulations: int,
  invalid_actions: chex.Array,
  dirichlet_fraction: float = 0.25,
  dirichlet_alpha: float = 0.3,
  temperature: float = 1.0,
) -> mctx.PolicyOutput:
  """Search by PUCT (AlphaZero, Silver et al., 2018), N at least 1.

  Args:
    search, rng_keys, root, num_simulations, invalid_actions: see `gumbel`.
    dirichlet_fraction: share of noise in the root's prior; 0 for none.
    dirichlet_alpha: concentration of that noise.
    temperature: the action is drawn from visits ** (1 / temperature); 0 takes
      the most visited.

  Returns:
    action `[B]`, shares of visits `[B, K]`, and the tree.
  """
  split = jax.vmap(lambda key: jax.random.split(key, 2))(rng_keys)
  draw = lambda key: jax.random.dirichlet(
    key, jnp.full(root.prior_logits.shape[1:], dirichlet_alpha)
  )
  noise = jax.vmap(draw)(split[:, 0])
  prior = jax.nn.softmax(_mask(root.prior_logits, invalid_actions))
  prior = (1 - dirichlet_fraction) * prior + dirichlet_fraction * noise
  logits = _mask(jnp.log(jnp.maximum(prior, 1e-30)), invalid_actions)
  tree = search(
    root=root.replace(prior_logits=logits),
    root_action_selection_fn=functools.partial(
      mctx.muzero_action_selection, depth=0
    ),
    interior_action_selection_fn=mctx.muzero_action_selection,
    num_simulations=num_simulations,
    invalid_actions=invalid_actions,
  )
  weights = tree.summary().visit_probs
  if temperature == 0:
    action = jnp.argmax(weights, axis=-1)
  else:
    scores = jnp.log(jnp.maximum(weights, 1e-30)) / temperature
    action = jax.vmap(jax.random.categorical)(split[:, 1], scores)
  return mctx.PolicyOutput(
    action=action, action_weights=weights, search_tree=tree
  )
