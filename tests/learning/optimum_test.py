"""Each learner alone reaches the optimum of a bandit and of a chain.

The chain has 20 states; steps lead left, nowhere or right, and only the right
end solves. An episode begins anywhere. The bandit is a chain whose steps are
all its last, of which one solves.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import unoptimized

from alphallm import types
from alphallm.learning import kinds, learner, objective, replay
from alphallm.models import network

STATES, ACTIONS, D, SLOTS, GROUP = 20, 3, 25, 32, 4
ROUND, MOST_ROUNDS = 20, 40  # iterations at once, and how often
DISCOUNT = 0.95
OPTIONS = {
  "Reinforce": dict(baseline="value", value_weight=0.5, entropy_weight=0.01),
  "ActorCritic": dict(gae_lambda=0.9, entropy_weight=0.01),
  "PPO": dict(entropy_weight=0.01),
  "TreePPO": dict(entropy_weight=0.01),
  "AlphaZero": dict(learn_from="all", td_lambda=0.9),
  "Cloning": dict(most_per_problem=1),
  "DPO": dict(beta=0.5),
  "StepDPO": dict(beta=0.5, least_gap=0.02, least_visits=1),
  "GRPO": dict(clip_high=0.28, mean="token", dynamic_sampling=True),
}
QUICK = {"PPO"}


def environments():
  """Return where steps lead, and which of them solve, of both problems."""
  states = np.arange(STATES)[:, None]
  to = np.clip(states + np.array([-1, 0, 1]), 0, STATES - 1)
  chain = to, to == STATES - 1, to == STATES - 1
  best = np.arange(ACTIONS) == states % ACTIONS
  bandit = to, best, np.ones_like(best)
  return {"chain": chain, "bandit": bandit}


def apply_fn(params, tokens, positions, *, segments=(), read=None):
  """A table of logits and values of the last token."""
  del positions, segments, read  # contexts and steps have one token
  return network.Output(
    logits=params["policy"][tokens],
    value_logits=params["value"][tokens],
    kv=(),
  )


def play(params, to, solves, over, starts, rng_key):
  """Return episodes `[SLOTS, 1, ...]` and the nodes of what was seen."""

  def act(carry, key):
    state, done = carry
    action = jax.random.categorical(key, params["policy"][state])
    ends = done | over[state, action]
    after = jnp.where(done, state, to[state, action])
    return (after, ends), (state, action, ~done, solves[state, action])

  begun = starts, jnp.zeros(SLOTS, bool)
  (_, done), seen = jax.lax.scan(act, begun, jax.random.split(rng_key, D))
  state, action, there, wins = (jnp.swapaxes(x, 0, 1) for x in seen)
  pad = lambda x: jnp.pad(x, ((0, 0), (0, 1)))
  state, action, there, wins = map(pad, (state, action, there, wins))
  value = jax.nn.sigmoid(params["value"])
  later = jnp.where(over, 0.0, value[to])
  qvalues = (solves + DISCOUNT * later)[state]
  improved = jax.nn.softmax(params["policy"][state] + 10 * qvalues)
  every = jnp.broadcast_to(
    jnp.arange(ACTIONS)[:, None], (SLOTS, D + 1, ACTIONS, 1)
  )
  ones = jnp.ones((SLOTS, D + 1), jnp.int32)
  lengths = jnp.ones((SLOTS, D + 1, ACTIONS), jnp.int32)
  episodes = types.Episode(
    contexts=state[..., None],
    ends=ones,
    steps=action[..., None],
    step_lengths=ones,
    legal=there,
    rewards=(wins & there).astype(jnp.float32),
    candidates=every,
    candidate_lengths=lengths,
    weights=improved * there[..., None],
    on_solution=jnp.zeros_like(there),
    root_values=value[state] * there,
    mask=there,
    num_steps=jnp.sum(there, axis=1),
    solved=jnp.any(wins & there, axis=1),
  )
  nodes = types.Visited(
    context=state[..., None],
    end=ones,
    candidates=every,
    lengths=lengths,
    weights=improved,
    qvalues=qvalues,
    visits=lengths,
    illegal=jnp.zeros(lengths.shape, bool),
    solution=jnp.zeros(lengths.shape),
    num_left=jnp.zeros((SLOTS, D + 1), jnp.int32),
    value=jnp.sum(improved * qvalues, axis=-1),
    share=jnp.ones((SLOTS, D + 1)),
    mask=there,
  )
  one_move = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
  del done  # an episode that was not solved has reached its cap
  return one_move(episodes), one_move(nodes)


CONFIG = learner.LearnerConfig(batch_size=128, capacity=1024)
TX = optax.adam(0.05)


def improve(what, state, reference, to, solves, over, starts, rng_key):
  """Play once and take four steps, as a run does."""
  play_key, keep_key, learn_key = jax.random.split(rng_key, 3)
  episodes, nodes = play(state.params, to, solves, over, starts, play_key)
  setting = objective.Setting(
    discount=DISCOUNT, group_size=GROUP, num_targets=ACTIONS
  )
  examples, keep = what.examples(
    episodes, jnp.ones((SLOTS, 1), bool), nodes, keep_key, setting
  )
  buffer = replay.init(jax.tree.map(lambda x: x[0], examples), CONFIG.capacity)
  buffer = replay.add(buffer, examples, keep)
  if what.recall:
    recall = functools.partial(what.recall, apply_fn, state.params)
    buffer = replay.complete(buffer, buffer.added, CONFIG.batch_size, recall)
  steps = jnp.where(buffer.added > 0, 4, 0)
  return learner.train_round(
    apply_fn,
    TX,
    CONFIG,
    what,
    state,
    buffer,
    learn_key,
    steps,
    reference=reference if what.refers else None,
  )[0]


def solved_greedily(params, to, solves, over):
  """Return from which states the most probable steps solve."""
  policy, won = np.argmax(params["policy"], axis=-1), []
  for state in range(STATES):
    for _ in range(D):
      action = policy[state]
      if over[state, action]:
        break
      state = to[state, action]
    won.append(bool(solves[state, action]))
  return won


def several(what, state, *environment_and_key):
  """Improve `ROUND` times, with the reference of the first time."""
  *environment, rng_key = environment_and_key
  reference = state.params

  def once(state, key):
    start_key, key = jax.random.split(key)
    starts = jax.random.randint(start_key, (SLOTS // GROUP,), 0, STATES - 1)
    starts = jnp.repeat(starts, GROUP)
    return improve(what, state, reference, *environment, starts, key), None

  keys = jax.random.split(rng_key, ROUND)
  return jax.lax.scan(once, state, keys)[0]


@pytest.mark.parametrize(
  "kind",
  [
    kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow)
    for kind in sorted(kinds.KINDS)
  ],
)
def test_the_optimum_is_reached(kind):
  what = kinds.KINDS[kind](**OPTIONS.get(kind, {}))
  step = unoptimized.jit(functools.partial(several, what))
  for name, environment in environments().items():
    params = {
      "policy": jnp.zeros((STATES, ACTIONS)),
      "value": jnp.full((STATES,), -2.0),
    }
    state = learner.init(TX, params)
    for seed in range(MOST_ROUNDS):
      state = step(state, *environment, jax.random.key(seed))
      won = solved_greedily(state.params, *environment)
      if all(won[:-1]):
        break
    else:
      pytest.fail(f"{name}: {won}")
