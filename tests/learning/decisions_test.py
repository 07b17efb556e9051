"""What is made of episodes, against loops over them."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import some_episodes
import unoptimized

from alphallm import types
from alphallm.learning import (
  actor_critic,
  alphazero,
  cloning,
  decisions,
  dpo,
  objective,
  policy_gradient,
  ppo,
  reinforce,
)

B, M, G = 4, 5, 2
SETTING = objective.Setting(discount=0.9, group_size=G, num_targets=2)
KINDS = "reset", "append"


def made(what, kind, nodes=None, rewarded=False):
  episodes, done = some_episodes.make(kind, (B, M))
  if rewarded:  # as a model would, every step
    there = np.arange(some_episodes.D) < episodes.num_steps[..., None]
    drawn = np.random.default_rng(7).random(there.shape) * there
    episodes = episodes.replace(rewards=drawn.astype(np.float32))
  run = unoptimized.jit(
    lambda *args: what.examples(*args, jax.random.key(0), SETTING)
  )
  return episodes, done, *map(plain, run(episodes, done, nodes))


def plain(tree):
  return jax.tree.map(np.asarray, tree)


def problems(done):
  """Return the attempts of each group of slots at each of its problems."""
  for first in range(0, B, G):
    places = [np.flatnonzero(done[first + g]) for g in range(G)]
    for j in range(M):
      yield [
        (first + g, int(places[g][j])) if j < len(places[g]) else None
        for g in range(G)
      ]


@pytest.mark.parametrize("group_size", [1, 2])
def test_attempts_at_a_problem_stand_side_by_side(group_size):
  episodes, done = some_episodes.make("reset", (B, M))
  run = unoptimized.jit(decisions.attempts, static_argnums=2)
  found, valid = plain(run(episodes, done, group_size))
  for first in range(0, B, group_size):
    for j in range(M):
      for g in range(group_size):
        row = first // group_size * M + j
        places = np.flatnonzero(done[first + g])
        assert valid[row, g] == (j < len(places))
        if valid[row, g]:
          one = jax.tree.map(lambda x, r=row, g=g: x[r, g], found)
          at = first + g, places[j]
          expected = jax.tree.map(lambda x, at=at: x[at], episodes)
          jax.tree.map(np.testing.assert_array_equal, one, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_groups_become_decisions(kind, mean):
  what = ppo.GRPO(use_std=False, mean=mean, dynamic_sampling=True)
  episodes, done, found, keep = made(what, kind, rewarded=mean == "token")
  d = episodes.ends.shape[-1]
  rows = iter(range(len(keep)))
  counted = 0
  for group in problems(done):
    there = [x for x in group if x]
    solved = [float(episodes.rewards[x].sum()) for x in there]
    for place in group:
      row = [next(rows) for _ in range(d if kind == "reset" else 1)]
      at = lambda t: (row[t], 0) if kind == "reset" else (row[0], t)  # noqa: B023
      learned = place and len(set(solved)) > 1
      n = int(episodes.num_steps[place]) if learned else 0
      tokens = episodes.step_lengths[place][:n].sum() if learned else 1
      kept = False
      for t in range(d):
        mask = t < n and episodes.mask[place][t]
        assert found.mask[at(t)] == mask
        kept |= bool(mask)
        if not mask:
          assert found.weights[at(t)] == 0
          continue
        counted += 1
        advantage = float(episodes.rewards[place].sum()) - np.mean(solved)
        np.testing.assert_allclose(
          found.advantages[at(t)], advantage, atol=1e-6
        )
        weight = 1 / tokens if mean == "sequence" else 1.0
        np.testing.assert_allclose(found.weights[at(t)], weight, rtol=1e-6)
        step = episodes.steps[place][t]
        np.testing.assert_array_equal(found.candidates[at(t)][0], step)
        assert found.lengths[at(t)] == episodes.step_lengths[place][t]
        assert found.ends[at(t)] == episodes.ends[place][t]
      if kind == "append":
        assert keep[row[0]] == kept
      if learned:
        context = episodes.contexts[place][0]
        np.testing.assert_array_equal(found.context[row[0]], context)
  assert counted > 5


def test_advantages_of_ppo_are_normalized():
  *_, found, _ = made(ppo.PPO(), "reset")
  # Of all steps there are, trained on or not; here of those trained on.
  there = found.mask[:, 0] > 0
  assert 0.3 < np.std(found.advantages[there]) < 3
  *_, raw, _ = made(dataclasses.replace(ppo.PPO(), normalize=False), "reset")
  slope, _ = np.polyfit(
    raw.advantages[there].ravel(), found.advantages[there].ravel(), 1
  )
  exact = (found.advantages - slope * raw.advantages)[there]
  np.testing.assert_allclose(exact, exact.mean(), atol=1e-4)


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_returns_less_a_baseline(baseline):
  weight = 0.5 if baseline == "value" else 0.0
  what = reinforce.Reinforce(baseline=baseline, value_weight=weight)
  episodes, done, found, _ = made(what, "reset", rewarded=True)
  expected, d = [], episodes.ends.shape[-1]
  for group in problems(done):
    for place in group:
      for t in range(d):
        if place is None or t >= episodes.num_steps[place]:
          expected.append(None)
          continue
        later = episodes.rewards[place][t:].astype(np.float64)
        came = np.sum(0.9 ** np.arange(len(later)) * later)
        value = episodes.root_values[place][t] if baseline == "value" else 0
        expected.append((came, came - value, episodes.mask[place][t]))
  mean = np.mean([x[0] for x in expected if x]) if baseline == "mean" else 0
  for row, x in enumerate(expected):
    if x and x[2]:
      np.testing.assert_allclose(found.values[row, 0], x[0], rtol=1e-5)
      np.testing.assert_allclose(
        found.advantages[row, 0, 0], x[1] - mean, atol=1e-5
      )


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_solutions(kind):
  episodes, done, found, keep = made(dpo.DPO(), kind)
  for row, group in enumerate(problems(done)):
    solved = {bool(episodes.solved[x]): x for x in group if x}
    assert keep[row] == (len(solved) == 2)
    if keep[row]:
      for side, place in enumerate((solved[True], solved[False])):
        contexts = episodes.contexts[place]
        np.testing.assert_array_equal(found.context[row, side], contexts)
  assert any(keep)


def test_solved_steps_are_cloned():
  what = cloning.Cloning(failure_share=0.0, most_per_problem=1)
  episodes, done, found, keep = made(what, "reset")
  rows, d = 0, episodes.ends.shape[-1]
  for group in problems(done):
    cloned = 0
    for place in group:
      learned = keep[rows : rows + d] & (
        found.weights[rows : rows + d, 0, 0] > 0
      )
      if learned.any():
        cloned += 1
        assert place and episodes.solved[place]
        for t in np.flatnonzero(learned):
          step = episodes.steps[place][t]
          np.testing.assert_array_equal(found.candidates[rows + t, 0, 0], step)
      rows += d
    assert cloned <= 1
  assert rows == len(keep)


def test_the_best_are_cloned_and_values_are_returns():
  what = cloning.Cloning(
    learn_from="best", most_per_problem=1, failure_share=1.0
  )
  episodes, done, found, keep = made(what, "reset", rewarded=True)
  rows, d = 0, episodes.ends.shape[-1]
  for group in problems(done):
    earned = [episodes.rewards[x].sum() if x else -1.0 for x in group]
    for place, total in zip(group, earned, strict=True):
      for t in range(d) if place else ():
        later = episodes.rewards[place][t:].astype(np.float64)
        came = np.sum(0.9 ** np.arange(len(later)) * later)
        if t >= episodes.num_steps[place]:
          came = total
        np.testing.assert_allclose(
          found.values[rows + t, 0], min(came, 1), rtol=1e-5
        )
        if found.weights[rows + t].any():
          assert total == max(earned) and keep[rows + t]
      rows += d
  assert np.sum(found.weights) > 3


def test_what_a_search_chose_by():
  episodes, _ = some_episodes.make("reset", (B, M))
  chosen = np.asarray(episodes.candidates)[..., 1, :]
  episodes = episodes.replace(steps=chosen)
  found = np.exp(actor_critic.log_prob_of_search(episodes))
  same = np.all(
    np.asarray(episodes.candidates) == chosen[..., None, :], axis=-1
  )
  expected = (same * np.asarray(episodes.weights)).sum(-1)
  np.testing.assert_allclose(found, np.maximum(expected, 1e-6), rtol=1e-5)


def some_nodes():
  rng = np.random.default_rng(0)
  lead, k, t, c = (B, M, 3), 4, 2, 9
  visits = rng.integers(0, 4, (*lead, k))
  illegal = (visits == 0) & (rng.random(visits.shape) < 0.5)
  left = rng.integers(0, 3, lead)
  return types.Visited(
    context=rng.integers(1, 9, (*lead, c)).astype(np.int32),
    end=rng.integers(1, c, lead).astype(np.int32),
    candidates=rng.integers(1, 9, (*lead, k, t)).astype(np.int32),
    lengths=rng.integers(1, t + 1, (*lead, k)).astype(np.int32),
    weights=rng.dirichlet(np.ones(k), lead).astype(np.float32),
    qvalues=(rng.random((*lead, k)) * (visits > 0)).astype(np.float32),
    visits=visits.astype(np.int32),
    illegal=illegal,
    solution=np.eye(k, dtype=np.float32)[left % k] * (left > 0)[..., None],
    num_left=left.astype(np.int32),
    value=rng.random(lead).astype(np.float32),
    share=np.ones(lead, np.float32),
    mask=rng.random(lead) < 0.7,
  )


def test_nodes_become_decisions():
  nodes = some_nodes()
  *_, found, keep = made(
    dataclasses.replace(ppo.TreePPO(), normalize=False), "reset", nodes
  )
  for row, at in enumerate(np.ndindex(nodes.mask.shape)):
    visits = nodes.visits[at] + nodes.illegal[at]
    total = visits.sum()
    assert keep[row] == (nodes.mask[at] and total > 0)
    seen = visits > 0
    expected = np.where(seen, nodes.qvalues[at] - nodes.value[at], 0)
    np.testing.assert_allclose(found.advantages[row, 0], expected, atol=1e-6)
    share = visits / max(total, 1)
    np.testing.assert_allclose(found.weights[row, 0], share, rtol=1e-6)


def test_nodes_become_pairs():
  nodes = some_nodes()
  what = dpo.StepDPO(least_gap=0.2, least_visits=1)
  *_, found, keep = made(what, "reset", nodes)
  pairs = 0
  for row, at in enumerate(np.ndindex(nodes.mask.shape)):
    assert keep[row] == nodes.mask[at]
    seen = np.flatnonzero(nodes.visits[at] + nodes.illegal[at])
    qvalues = nodes.qvalues[at][seen]
    is_pair = len(seen) > 0 and np.ptp(qvalues) >= 0.2
    np.testing.assert_array_equal(found.weights[row, 0], [is_pair] * 2)
    if is_pair:
      pairs += 1
      for side, place in enumerate((qvalues.argmax(), qvalues.argmin())):
        step = nodes.candidates[at][seen[place]]
        np.testing.assert_array_equal(found.candidates[row, 0, side], step)
  assert pairs


def test_the_heaviest_steps_of_nodes_are_imitated():
  nodes = some_nodes()
  *_, found, keep = made(alphazero.TreeAlphaZero(), "reset", nodes)
  for row, at in enumerate(np.ndindex(nodes.mask.shape)):
    assert keep[row] == nodes.mask[at]
    order = np.argsort(-nodes.weights[at])[: SETTING.num_targets]
    weights = nodes.weights[at][order]
    np.testing.assert_allclose(
      found.weights[row, 0], weights / weights.sum(), rtol=1e-6
    )
    np.testing.assert_array_equal(
      found.candidates[row, 0], nodes.candidates[at][order]
    )


def test_the_ways_to_solutions_are_imitated():
  """All of them, and other nodes teach a value, some of them."""
  nodes = some_nodes()
  what = alphazero.TreeAlphaZero(learn_from="solutions", failure_share=0.0)
  *_, found, keep = made(what, "reset", nodes)
  for row, at in enumerate(np.ndindex(nodes.mask.shape)):
    left = nodes.num_left[at]
    assert keep[row] == (nodes.mask[at] and left > 0)
    if left:
      step = nodes.candidates[at][nodes.solution[at].argmax()]
      np.testing.assert_array_equal(found.candidates[row, 0, 0], step)
      assert found.weights[row, 0].tolist() == [1.0] + [0.0] * (
        SETTING.num_targets - 1
      )
      wanted = SETTING.discount ** (left - 1)
      np.testing.assert_allclose(found.values[row, 0], wanted, rtol=1e-6)
    else:
      assert not found.weights[row].any()
      np.testing.assert_allclose(
        found.values[row, 0], nodes.value[at], rtol=1e-6
      )
  assert (nodes.num_left > 1).any() and keep.any() and not keep.all()
  what = alphazero.TreeAlphaZero(learn_from="solutions")
  *_, keep = made(what, "reset", nodes)
  np.testing.assert_array_equal(keep, nodes.mask.reshape(-1))


def test_nodes_are_kept_by_their_visits():
  nodes = some_nodes().replace(mask=np.ones((B, M, 3), bool))
  nodes = nodes.replace(share=np.full((B, M, 3), 0.25, np.float32))
  draw = unoptimized.jit(functools.partial(decisions.of_nodes, nodes))
  kept = [np.asarray(draw(jax.random.key(i))[1]) for i in range(50)]
  np.testing.assert_allclose(np.mean(kept), 0.25, atol=0.03)


def test_options_are_checked():
  with pytest.raises(ValueError, match="learn_from='roots' is neither"):
    alphazero.TreeAlphaZero(learn_from="roots")
  with pytest.raises(ValueError, match="failure_share=0.5: all nodes teach"):
    alphazero.TreeAlphaZero(failure_share=0.5)
  with pytest.raises(ValueError, match="mean='word' is none of"):
    ppo.GRPO(mean="word")
  with pytest.raises(ValueError, match="baseline='x' is none of"):
    reinforce.Reinforce(baseline="x")
  for baseline, weight in ("mean", 0.5), ("value", 0.0):
    with pytest.raises(ValueError, match="the value is learned where it is"):
      reinforce.Reinforce(baseline=baseline, value_weight=weight)
  with pytest.raises(ValueError, match="behaviour='x' is neither"):
    actor_critic.ActorCritic(behaviour="x")
  with pytest.raises(ValueError, match="a='x' is none of"):
    policy_gradient.check("a", "x", ("b",))
