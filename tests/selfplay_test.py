"""Tests of self-play; those on eight devices run in a process of their own."""

import functools
import os
import pathlib
import subprocess
import sys

import fake_model
import jax
import numpy as np
import pytest
import toy_task
import trees
import unoptimized

from alphallm import selfplay, sharding
from alphallm.search import play, tree_search

B, MOVES = 16, 5
TASK = toy_task.Walk("append", max_steps=3)
CONFIG = selfplay.SelfPlayConfig(num_slots=B, num_moves=MOVES, num_targets=3)
SEARCH = tree_search.SearchConfig(
  num_simulations=5, num_candidates=4, max_depth=3
)
PARAMS = fake_model.init_params(
  toy_task.TOKENIZER.vocab_size, bias=toy_task.bias(), seed=3
)
PLAY = functools.partial(
  selfplay.play_round, fake_model.apply_fn, TASK, CONFIG, SEARCH
)


def keys_like(n):
  return jax.random.split(jax.random.key(0), n)


@functools.cache
def start():
  """Return the first slots, and the problems of two rounds."""
  rng = np.random.default_rng(0)
  slots = unoptimized.jit(functools.partial(selfplay.start, TASK, CONFIG))(
    keys_like(B), TASK.sample_numpy(rng, B)
  )
  problems = TASK.sample_numpy(rng, B * 2 * MOVES)
  return slots, jax.tree.map(
    lambda x: x.reshape(B, 2 * MOVES, *x.shape[1:]), problems
  )


def plain(tree):
  """Return arrays of NumPy, keys as their numbers."""

  def array(x):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      x = jax.random.key_data(x)
    return np.asarray(x)

  return jax.tree.map(array, tree)


def part(problems, moves):
  return jax.tree.map(lambda x: x[:, moves], problems)


@functools.cache
def two_rounds():
  run = unoptimized.jit(PLAY)
  slots, problems = start()
  slots, first = run(PARAMS, slots, part(problems, slice(MOVES)))
  slots, second = run(PARAMS, slots, part(problems, slice(MOVES, None)))
  harvest = jax.tree.map(
    lambda a, b: np.concatenate([a, b], axis=1),
    plain((first.episodes, first.done)),
    plain((second.episodes, second.done)),
  )
  cost = jax.tree.map(lambda a, b: a + b, first.cost, second.cost)
  return plain(slots), *harvest, plain(cost)


def test_two_rounds_are_one_long_round():
  slots, problems = start()
  whole_slots, whole = unoptimized.jit(PLAY)(PARAMS, slots, problems)
  slots, episodes, done, cost = two_rounds()
  trees.assert_near(plain(whole_slots), slots)
  trees.assert_near(plain(whole.episodes), episodes)
  trees.assert_near(plain(whole.done), done)
  trees.assert_near(plain(whole.cost), cost)


def test_slots_refill_and_episodes_come_once():
  """Each slot plays its problems in a row, a move or a solution at a time."""
  slots, problems = start()
  first_problems = jax.tree.map(np.asarray, slots.trace.state.inner.problem)
  _, episodes, done, _ = two_rounds()
  assert 0.2 < done.mean() < 0.9
  lines = set()
  for b in range(B):
    problem, moves = toy_task.problem_at(first_problems, b), 0
    walk = toy_task.start(problem)
    for m in range(2 * MOVES):
      episode = jax.tree.map(lambda x: x[b, m], episodes)  # noqa: B023
      assert episode.num_steps > moves
      lines.add(int(episode.num_steps) - moves)
      for step in episode.steps[moves : episode.num_steps]:
        assert not walk["over"]
        stops = np.flatnonzero(np.isin(step, toy_task.STOP_IDS))
        step = step[: stops[0] + 1] if len(stops) else step
        walk = toy_task.move(problem, walk, step, max_steps=3)
      moves = int(episode.num_steps)
      assert done[b, m] == walk["over"]
      assert episode.solved == (walk["reward"] == 1)
      if done[b, m]:
        # The next problem of this slot at this move; the others are unused.
        problem = toy_task.problem_at(part(problems, m), b)
        walk, moves = toy_task.start(problem), 0
  assert len(lines) > 1


def test_solutions_are_played_to_their_end():
  """What is under way has no step of a solution in it."""
  _, episodes, done, _ = two_rounds()
  assert episodes.on_solution[done].any()
  assert not episodes.on_solution[~done].any()


def test_a_slot_depends_on_itself_alone():
  """The same slots in another order play the same episodes."""
  slots, problems = start()
  order = np.random.default_rng(1).permutation(B)
  mixed = jax.tree.map(lambda x: x[order], (slots, problems))
  _, found = unoptimized.jit(PLAY)(
    PARAMS, mixed[0], part(mixed[1], slice(MOVES))
  )
  _, episodes, done, _ = two_rounds()
  trees.assert_near(
    plain(found.episodes), jax.tree.map(lambda x: x[order, :MOVES], episodes)
  )
  trees.assert_near(plain(found.done), done[order, :MOVES])


def test_starts_as_play_does():
  slots, _ = start()
  problem = jax.tree.map(lambda x: x[3], slots.trace.state.inner.problem)
  trace = play.start(TASK, CONFIG.num_targets, problem)
  trees.assert_near(
    plain(trace), jax.tree.map(lambda x: x[3], plain(slots.trace))
  )
  assert not slots.num_moves.any()


def on_eight_devices():
  """Run a round in three ways; called in a process with eight devices."""
  assert jax.device_count() == 8
  slots, problems = start()
  problems = part(problems, slice(MOVES))
  expected = plain(unoptimized.jit(PLAY)(PARAMS, slots, problems))

  mesh = sharding.make_mesh()
  split = jax.device_put((slots, problems), sharding.slots(mesh))
  params = jax.device_put(PARAMS, sharding.replicated(mesh))
  run = sharding.shard_self_play(PLAY, mesh).lower(params, *split).compile()
  hlo = run.as_text()
  for word in "all-gather", "all-reduce", "all-to-all", "collective-permute":
    assert word not in hlo, word
  trees.assert_near(plain(run(params, *split)), expected)

  fold = functools.partial(
    jax.tree.map, lambda x: x.reshape(8, -1, *x.shape[1:])
  )
  found = jax.pmap(PLAY, in_axes=(None, 0, 0))(
    PARAMS, fold(slots), fold(problems)
  )
  unfold = lambda x: x.reshape(-1, *x.shape[2:])
  trees.assert_near(jax.tree.map(unfold, plain(found)), expected)
  assert 0 < expected[1].done.mean() < 1


@pytest.mark.skipif(
  jax.default_backend() != "cpu", reason="makes devices of the host's cores"
)
def test_shards_and_pmap_play_the_same_episodes():
  here = pathlib.Path(__file__).parent
  program = (
    "import sys; sys.path[:0] = sys.argv[1:]; import conftest, selfplay_test;"
    " selfplay_test.on_eight_devices()"
  )
  result = subprocess.run(
    [sys.executable, "-c", program, str(here), str(here.parent)],
    env=os.environ
    | {
      "JAX_PLATFORMS": "cpu",
      "XLA_FLAGS": f"{unoptimized.FLAGS} "
      "--xla_force_host_platform_device_count=8",
    },
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
