"""Tests of games in plain Python against the tasks themselves."""

import itertools

import jax
import numpy as np
import pytest

from alphallm import tasks
from alphallm.initialization import games

COUNTDOWN = tasks.Countdown(num_numbers=3, max_value=999)
BLOCKS = tasks.BlocksWorld(max_blocks=4)


@pytest.fixture(
  scope="module", params=[COUNTDOWN, BLOCKS], ids=lambda t: t.name
)
def played(request):
  """A task, its games, and of each first state all that its steps lead to."""
  task = request.param
  problems = task.sample_numpy(np.random.default_rng(3), 12, "train")
  found = games.of(task, problems)
  rows = [
    (i, step, state)
    for i, game in enumerate(found)
    for step, state in game.moves(game.start)
  ]
  tokens = np.zeros((len(rows), task.max_step_tokens), np.int32)
  lengths = np.zeros(len(rows), np.int32)
  for row, (_, step, _) in enumerate(rows):
    ids = task.tokenizer.encode(step + "\n")
    tokens[row, : len(ids)], lengths[row] = ids, len(ids)
  chosen = jax.tree.map(lambda x: x[[i for i, _, _ in rows]], problems)
  play = lambda p, t, n: (task.init(p), task.step(task.init(p), t, n))
  states = jax.device_get(jax.jit(jax.vmap(play))(chosen, tokens, lengths))
  return task, found, rows, states


def text(task, states, row):
  length = states.observation_length[row]
  return task.tokenizer.decode(states.observation[row][:length])


def test_moves_are_legal_and_lead_where_the_task_says(played):
  task, found, rows, (before, after) = played
  assert after.legal.all() and len(rows) > 30
  for row, (i, _, state) in enumerate(rows):
    game = found[i]
    assert text(task, before, row) == game.text(game.start) + "\n"
    assert text(task, after, row) == game.text(state) + "\n"
    assert game.is_solved(state) == (after.reward[row] == 1)


def test_no_move_leads_to_a_held_out_problem(played):
  task, found, rows, (_, after) = played
  solved = after.reward == 1
  same_size = np.array([len(s) == len(found[i].start) for i, _, s in rows])
  assert not (after.held_out & same_size & ~solved).any()


def test_every_move_of_countdown_is_there():
  game = games.Countdown((6, 3, 3), 24, 999)
  wanted = set()
  for a, b in itertools.permutations(range(3), 2):
    x, y = game.start[a], game.start[b]
    (rest,) = (game.start[c] for c in range(3) if c not in (a, b))
    results = [x + y, x * y] + [x - y] * (x >= y) + [x // y] * (x % y == 0)
    wanted |= {tuple(sorted((r, rest))) for r in results}
  found = [tuple(sorted(state)) for _, state in game.moves(game.start)]
  assert len(found) == len(set(found)) and set(found) == wanted


def test_every_move_of_blocks_is_there_but_to_held_out_problems():
  on, wanted = (-1, 0, -1), (1, 2, -1)
  game = games.Blocks(on, wanted, 6)
  steps = dict(game.moves(on))
  assert set(steps) <= {"bc", "b-", "cb"} and len(steps) > 0


def test_what_is_said_of_countdown():
  game = games.Countdown((12, 14, 73), 47, 999)
  assert game.analysis(game.start) == "12+14+73=99"
  assert game.goal(game.start, "sum") == "99-52"
  assert game.goal(game.start, "factors") == "47*1"
  assert games.Countdown((3, 9, 5), 24, 999).goal((3, 9, 5), "factors") == "3*8"
  assert game.goal((26, 73), "sum") is None
  assert game.heuristics["sum"](game.start) == 52
  assert game.heuristics["factors"](game.start) == 35 + 33 + 26
  assert game.value((26, 73)) is None
  assert game.value((47,)) == 1 and game.value((99,)) == 0


def test_what_is_said_of_blocks():
  # c on b on a; wanted: a on b, and b on the table.
  game = games.Blocks((-1, 0, 1), (1, -1, -2), 6)
  assert game.text(game.start) == "a-bba-cb?"
  assert game.analysis(game.start) == "abc"
  assert game.goal(game.start, "misplaced") == "b-"
  assert game.goal((-1, -1, 0), "misplaced") == "ab"
  assert game.value(game.start) == 0
  assert game.value((1, -1, -1)) == 1 and game.is_solved((1, -1, -1))
  assert game.heuristics["misplaced"](game.start) == 2
  assert game.heuristics["unsettled"](game.start) == 3
  assert game.max_depth == 6


def test_a_task_without_games_is_refused():
  with pytest.raises(ValueError, match="no traces of game24"):
    games.of(tasks.Game24(), None)
