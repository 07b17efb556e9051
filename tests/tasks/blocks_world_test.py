import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import tokenizer as tokenizer_lib
from alphallm.search import context
from alphallm.tasks import blocks_world, hashing, stacks

TABLE, ANY, ABSENT = -1, -2, -3

TASK = blocks_world.BlocksWorld()
start_of = jax.jit(TASK.init)
step_once = jax.jit(TASK.step)
init = jax.jit(jax.vmap(TASK.init))
step = jax.jit(jax.vmap(TASK.step))
random_step = jax.jit(jax.vmap(TASK.random_step))


def problem(on, goal):
  """Return a problem of TASK from letters, e.g. `("b-", "-?")`."""
  code = "?-"
  rows = [
    [blocks_world.LETTERS.find(c) if c not in code else code.find(c) - 2
     for c in text] + [ABSENT] * (TASK.max_blocks - len(text))
    for text in (on, goal)
  ]  # fmt: skip
  on, goal = jnp.array(rows, jnp.int32)
  return stacks.Problem(on=on, goal=goal)


def encoded(text):
  ids = TASK.tokenizer.encode(text)
  return jnp.array((ids + [0] * 3)[:3], jnp.int32), jnp.int32(len(ids))


def play(state, *steps):
  for text in steps:
    state = step_once(state, *encoded(text))
  return state


def prompt(state):
  length = int(state.observation_length)
  assert not np.any(state.observation[length:])
  return TASK.tokenizer.decode(state.observation[:length])


def reference(on, goal, moves, ids, length):
  """Take a step in plain Python.

  Args:
    on: list of what present blocks stand on.
    goal: likewise, what is wanted.
    moves: number of moves so far.
    ids: the three tokens.
    length: how many of them count.

  Returns:
    `(legal, terminated, reward, on)` after the step.
  """
  tokens = {TASK.tokenizer.id(c): c for c in blocks_world.LETTERS + "?-\n"}
  text = "".join(tokens.get(int(i), "#") for i in ids[:length])
  moved = None
  if length == 3 and text[2] == "\n":
    block = blocks_world.LETTERS.find(text[0])
    place = blocks_world.LETTERS.find(text[1])
    if 0 <= block < len(on) and block not in on:
      if text[1] == "-" and on[block] != TABLE:
        moved = TABLE
      elif 0 <= place < len(on) and place not in on and place != block:
        moved = place
  if moved is None:
    return False, True, 0.0, on
  on = [moved if i == block else at for i, at in enumerate(on)]
  solved = all(to in (ANY, at) for at, to in zip(on, goal, strict=True))
  over = solved or moves + 1 == 2 * len(on)
  return True, over, float(solved), on


def corrupted(rng, tokens, lengths):
  """Spoil some of the steps in one of several ways."""
  tokens, lengths = np.array(tokens), np.array(lengths)
  known = TASK.tokenizer.encode(blocks_world.LETTERS[:6] + "?-\n") + [
    0,
    1,
    2,
    3,
  ]
  for i in np.flatnonzero(rng.random(len(tokens)) < 0.15):
    match rng.integers(4):
      case 0:
        tokens[i, :2] = rng.choice(known, 2)
      case 1:
        tokens[i, rng.integers(3)] = rng.choice(known)
      case 2:
        tokens[i] = rng.integers(-2, TASK.vocab_size + 3, 3)
      case 3:
        lengths[i] = rng.integers(0, 3)
  return jnp.asarray(tokens), jnp.asarray(lengths)


def test_step_agrees_with_plain_python():
  rng = np.random.default_rng(0)
  problems = TASK.sample_numpy(rng, 512, "train")
  state = init(problems)
  seen = set()
  for i in range(11):
    keys = jax.random.split(jax.random.key(i), 512)
    tokens, lengths = corrupted(rng, *random_step(keys, state))
    after = step(state, tokens, lengths)
    got, was = jax.tree.map(np.asarray, (after, state))
    over = was.terminated
    assert not np.any(got.reward[over])
    jax.tree.map(
      lambda x, y, over=over: np.testing.assert_array_equal(x[over], y[over]),
      got.replace(reward=was.reward),
      was,
    )
    for b in range(512):
      if was.terminated[b]:
        continue
      on, goal = was.inner.problem.on[b], was.inner.problem.goal[b]
      n = int(np.sum(on != ABSENT))
      want = reference(
        on[:n].tolist(), goal[:n].tolist(), i, tokens[b], int(lengths[b])
      )
      assert (
        bool(got.legal[b]),
        bool(got.terminated[b]),
        float(got.reward[b]),
        got.inner.problem.on[b][:n].tolist(),
      ) == want
      seen.add(want[:3])
    state = after
  assert np.all(state.terminated)
  assert len(seen) == 4  # Illegal, on the way, solved, and at the cap.


def test_prompt_and_observations():
  state = start_of(problem("-c-", "bc?"))
  assert prompt(state) == "a-bbccc-?\n"
  assert (TASK.max_prompt_tokens, TASK.max_observation_tokens) == (16, 16)
  assert prompt(play(state, "b-\n")) == "a-bb-cc-?\n"
  assert prompt(play(state, "ab\n")) == "abbbccc-?\n"


def test_solved_illegal_and_cap():
  start = start_of(problem("-a", "b?"))
  solved = play(start, "b-\n", "ab\n")
  assert solved.legal and solved.terminated and solved.reward == 1
  again = play(solved, "a-\n")
  assert again.reward == 0
  assert prompt(again) == prompt(solved)
  illegal = play(start, "ab\n")
  assert not illegal.legal and illegal.terminated and illegal.reward == 0
  assert prompt(illegal) == prompt(start)
  capped = play(start, "b-\n", "ba\n", "b-\n")
  assert not capped.terminated
  capped = play(capped, "ba\n")
  assert capped.legal and capped.terminated and capped.reward == 0


def test_a_solved_problem_is_over_with_reward():
  state = start_of(problem("-a", "?a"))
  assert state.terminated and state.legal and state.reward == 1


def test_random_steps_are_legal_and_all_of_them():
  state = start_of(problem("-a-", "??b"))
  many = jax.tree.map(lambda x: jnp.repeat(x[None], 300, axis=0), state)
  tokens, lengths = random_step(jax.random.split(jax.random.key(0), 300), many)
  assert np.all(lengths == 3)
  assert np.all(step(many, tokens, lengths).legal)
  texts, counts = np.unique(
    [TASK.tokenizer.decode(t) for t in tokens], return_counts=True
  )
  assert texts.tolist() == ["b-\n", "bc\n", "cb\n"]
  assert counts.min() > 60
  over = many.replace(terminated=jnp.ones_like(many.terminated))
  _, lengths = random_step(jax.random.split(jax.random.key(0), 300), over)
  assert not np.any(lengths)


def test_fingerprint_is_that_of_the_blocks():
  start = start_of(problem("-a-", "b??"))
  back = play(start, "b-\n", "ba\n")
  assert back.fingerprint == start.fingerprint
  states = itertools.product([TABLE, 0, 1, 2, 3, 4], repeat=5)
  states = jnp.array(list(states), jnp.int32)
  problems = stacks.Problem(on=states, goal=jnp.full_like(states, ANY))
  assert len(np.unique(init(problems).fingerprint)) == len(states)


def test_splits_are_disjoint():
  rng = np.random.default_rng(0)
  train = TASK.sample_numpy(rng, 20_000, "train")
  test = TASK.sample_numpy(rng, 2_000, "test")
  hashes = [stacks.class_hash(p.on, p.goal) for p in (train, test)]
  assert not np.any(hashing.in_test_split(hashes[0]))
  assert np.all(hashing.in_test_split(hashes[1]))
  for p, hashed in zip((train, test), hashes, strict=True):
    assert not np.any(stacks.in_planbench(hashed))
    assert not np.any(init(p).terminated)
    assert set(np.sum(p.on != ABSENT, axis=1)) == {3, 4, 5}
    assert np.all((p.goal == ABSENT) == (p.on == ABSENT))
    assert np.all(np.any(p.goal >= TABLE, axis=1))
  assert not np.any(init(train).held_out)
  assert np.all(init(test).held_out)


def test_states_on_the_way_are_held_out():
  state = init(TASK.sample_numpy(np.random.default_rng(0), 500, "train"))
  tokens, lengths = random_step(jax.random.split(jax.random.key(0), 500), state)
  after = step(state, tokens, lengths)
  on, goal = after.inner.problem.on, after.inner.problem.goal
  hashed = stacks.class_hash(np.asarray(on), np.asarray(goal))
  want = hashing.in_test_split(hashed) | stacks.in_planbench(hashed)
  np.testing.assert_array_equal(after.held_out, want)
  assert 0 < np.sum(want) < 500


def test_samples_are_reproducible_and_any_number():
  key = jax.random.key(3)
  for n in (0, 1, 5000):
    one, two = TASK.sample(key, n), TASK.sample(key, n)
    assert one.on.shape == (n, 5) and one.on.dtype == np.int32
    np.testing.assert_array_equal(one.on, two.on)
    np.testing.assert_array_equal(one.goal, two.goal)
  with pytest.raises(ValueError, match="no split is called dev"):
    TASK.sample_numpy(np.random.default_rng(0), 1, "dev")


def test_sizes_share_a_vocabulary():
  large = blocks_world.BlocksWorld(min_blocks=15, max_blocks=15)
  assert large.tokenizer.proto == TASK.tokenizer.proto
  assert (large.max_steps, large.max_prompt_tokens) == (30, 46)
  drawn = large.sample_numpy(np.random.default_rng(0), 3, "train")

  def one_step(rng_key, problem):
    state = large.init(problem)
    return large.step(state, *large.random_step(rng_key, state))

  keys = jax.random.split(jax.random.key(0), 3)
  after = jax.jit(jax.vmap(one_step))(keys, drawn)
  assert np.all(after.legal)
  assert large.tokenizer.decode(after.observation[0]).count("\n") == 1


def test_tasks_are_static_values():
  assert TASK == blocks_world.BlocksWorld(max_steps=10)
  assert hash(TASK) == hash(blocks_world.BlocksWorld())
  assert TASK != blocks_world.BlocksWorld(context="append")
  for arguments in (dict(max_blocks=16), dict(min_blocks=6), dict(context="x")):
    with pytest.raises(ValueError, match="not"):
      blocks_world.BlocksWorld(**arguments)


def test_ids_are_those_of_the_tokenizer_passed():
  text = ["ponmlkjihgfedcba?-xyz" * 2, "-ba"]
  tokenizer = tokenizer_lib.Tokenizer.train(text)
  assert tokenizer.id("a") != TASK.tokenizer.id("a")
  task = blocks_world.BlocksWorld(tokenizer=tokenizer)
  state = jax.jit(task.init)(problem("-a", "b?"))
  assert tokenizer.decode(state.observation) == "a-bba?\n"
  tokens = jnp.array(tokenizer.encode("b-\n"), jnp.int32)
  assert jax.jit(task.step)(state, tokens, jnp.int32(3)).legal
  with pytest.raises(ValueError, match="not one token"):
    blocks_world.BlocksWorld(tokenizer=tokenizer_lib.Tokenizer.train(["abc-"]))


def test_optimal_length():
  for on, goal, want in (
    ("-a", "b?", 2),
    ("-a", "?a", 0),
    ("-ab", "bc-", 3),
    ("-a-c", "d?b?", 4),
  ):
    p = problem(on, goal)
    assert blocks_world.optimal_length(p.on, p.goal) == want


def test_two_moves_a_block_suffice():
  drawn = TASK.sample_numpy(np.random.default_rng(0), 30, "train")
  for on, goal in zip(drawn.on, drawn.goal, strict=True):
    length = blocks_world.optimal_length(on, goal)
    assert 1 <= length <= 2 * np.sum(on != ABSENT) - 2


def test_describe():
  assert TASK.describe(problem("-a", "b-")) == (
    "2 blocks: a on the table, b on a. Wanted: a on b, b on the table."
  )


def test_read_problems(tmp_path):
  path = tmp_path / "p.jsonl"
  path.write_text('{"init": {"x": "y", "y": "table"}, "goal": {"y": "x"}}\n')
  read = TASK.read_problems(path)
  np.testing.assert_array_equal(read.on, [[1, TABLE] + [ABSENT] * 3])
  np.testing.assert_array_equal(read.goal, [[ANY, 0] + [ABSENT] * 3])
  names = {f"b{i}": "table" for i in range(6)}
  path.write_text(f'{{"init": {names}, "goal": {{}}}}'.replace("'", '"'))
  with pytest.raises(ValueError, match="p.jsonl:1: 6 blocks are more than 5"):
    TASK.read_problems(path)


def read_state(task, text):
  """Return the problem that one line of text shows."""
  code = blocks_world.LETTERS[: task.max_blocks] + "?-"
  place = lambda c: code.index(c) - (len(code) if c in "?-" else 0)
  rows = [text[i : i + 3] for i in range(0, len(text), 3)]
  assert [row[0] for row in rows] == list(code[: len(rows)])
  absent = [ABSENT] * (task.max_blocks - len(rows))
  return stacks.Problem(
    on=jnp.array([place(row[1]) for row in rows] + absent, jnp.int32),
    goal=jnp.array([place(row[2]) for row in rows] + absent, jnp.int32),
  )


@pytest.mark.parametrize("kind", ["reset", "append"])
def test_augmented_episodes_are_episodes_of_the_renamed_problem(kind):
  task = blocks_world.BlocksWorld(max_blocks=5, context=kind)
  first, take = jax.jit(task.init), jax.jit(task.step)
  draw = jax.jit(task.random_step)
  begin = jax.jit(functools.partial(context.initial, task))
  extend = jax.jit(functools.partial(context.extend, task))
  augment = jax.jit(task.augment)
  text = lambda x: task.tokenizer.decode(np.asarray(x))
  drawn = task.sample_numpy(np.random.default_rng(0), 12, "train")
  changed = 0
  for row in range(12):
    problem = jax.tree.map(lambda x, row=row: x[row], drawn)
    state = first(problem)
    steps, seen = [], begin(problem)
    contexts = [seen.tokens]
    for move in range(3):
      tokens, length = draw(jax.random.key(move), state)
      state = take(state, tokens, length)
      seen = extend(seen, state, tokens, length)
      steps.append(tokens)
      contexts.append(seen.tokens)
      if state.terminated:
        break
    # What was read before each step, and the step, under new names: playing the
    # step from that state gives what was read next, under the same names.
    for i, tokens in enumerate(steps):
      key = jax.random.key(100 * row + i)
      before, (renamed,) = augment(key, contexts[i], tokens[None])
      after, _ = augment(key, contexts[i + 1], tokens[None])
      changed += text(before) != text(contexts[i])
      lines = text(before).splitlines()
      begun = read_state(task, lines[0])
      state = first(begun)
      hashed = [
        stacks.class_hash(p.on, p.goal)
        for p in (
          state.inner.problem,
          read_state(task, text(contexts[i]).splitlines()[0]),
        )
      ]
      assert hashed[0] == hashed[1]
      seen = begin(begun)
      for line in [*lines[1::2], text(renamed).strip()]:
        tokens, length = (
          jnp.array(task.tokenizer.encode(line + "\n"), jnp.int32),
          jnp.int32(3),
        )
        state = take(state, tokens, length)
        assert state.legal
        seen = extend(seen, state, tokens, length)
      np.testing.assert_array_equal(seen.tokens, after)
  assert changed > 12
