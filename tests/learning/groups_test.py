"""Rounds of groups: the same problems, from a fresh start, in row."""

import functools

import fake_model
import jax
import numpy as np
import pytest
import toy_task
import unoptimized

from alphallm import selfplay
from alphallm.search import tree_search

B, G, MOVES = 4, 2, 6
TASK = toy_task.Walk("append", max_steps=3)
SEARCH = tree_search.SearchConfig(
  num_simulations=0, num_candidates=1, permission="nothing"
)
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)


@pytest.fixture(scope="module")
def rounds():
  """Return the problems and what two rounds of different luck brought."""
  config = selfplay.SelfPlayConfig(
    num_slots=B,
    num_moves=MOVES,
    num_targets=1,
    group_size=G,
    greedy_first=True,
  )
  problems = TASK.sample_numpy(np.random.default_rng(0), B // G * MOVES)
  problems = jax.tree.map(
    lambda x: x.reshape(B // G, MOVES, *x.shape[1:]).repeat(G, 0), problems
  )
  first = jax.tree.map(lambda x: x[:, 0], problems)
  play = unoptimized.jit(
    functools.partial(
      selfplay.play_round, fake_model.apply_fn, TASK, config, SEARCH
    )
  )
  harvests = []
  for seed in range(2):
    keys = jax.random.split(jax.random.key(seed), B)
    slots = selfplay.start(TASK, config, keys, first)
    for _ in range(2):  # What the first left under way is given up.
      slots, harvest = play(PARAMS, slots, problems)
    harvests.append(jax.tree.map(np.asarray, harvest))
  return problems, harvests


def attempts(harvest, slot):
  for move in np.flatnonzero(harvest.done[slot]):
    yield jax.tree.map(lambda x, m=move: x[slot, m], harvest.episodes)


def test_the_slots_of_a_group_attempt_the_same_in_a_row(rounds):
  problems, (harvest, _) = rounds
  for slot in range(B):
    episodes = list(attempts(harvest, slot))
    assert len(episodes) > 1
    for j, episode in enumerate(episodes):
      problem = jax.tree.map(lambda x, j=j: x[slot, j], problems)  # noqa: B023
      walk = toy_task.start(problem)
      for step in episode.steps[: episode.num_steps]:
        assert not walk["over"]
        stops = np.flatnonzero(np.isin(step, toy_task.STOP_IDS))
        step = step[: stops[0] + 1] if len(stops) else step
        walk = toy_task.move(problem, walk, step, max_steps=3)
      assert walk["over"] and episode.solved == (walk["reward"] == 1)


def test_the_first_of_a_group_is_greedy(rounds):
  _, (harvest, other) = rounds
  for slot in range(B):
    pairs = zip(attempts(harvest, slot), attempts(other, slot), strict=False)
    same = [np.array_equal(a.steps, b.steps) for a, b in pairs]
    assert all(same) if slot % G == 0 else not all(same)
  first = next(attempts(harvest, 0))
  context = first.contexts[0][: first.ends[0]].tolist()
  ((step, _),) = fake_model.beam_search(
    PARAMS, context, width=1, max_tokens=3, stop_ids=toy_task.STOP_IDS
  )
  length = first.step_lengths[0]
  assert first.steps[0][:length].tolist() == [int(x) for x in step]
