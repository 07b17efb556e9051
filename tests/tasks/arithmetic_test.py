"""The jnp steps of countdown and game24 against a plain-Python checker."""

import fractions
import functools
import random
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm import tokenizer as tokenizer_lib
from alphallm.tasks import arithmetic, countdown, game24, hashing, rational

COUNTDOWN, GAME24 = countdown.Countdown(), game24.Game24()
NUM = 504  # states of a batch, everywhere the same: compiled once
NUMBER = r"(0|[1-9][0-9]*)(?:\|([1-9][0-9]*))?"
STEP = re.compile(rf"{NUMBER}([-+*/]){NUMBER}={NUMBER}\n")
# Its characters have other ids, in another order.
SHUFFLED = game24.Game24(
  tokenizer=tokenizer_lib.Tokenizer.train(["7:|3=01*", "5/2 -9", "48+6 777::"])
)


@functools.cache
def functions(task):
  return [
    jax.jit(jax.vmap(f)) for f in (task.init, task.step, task.random_step)
  ]


def batched(numbers, target):
  """Return one problem `NUM` times."""
  return arithmetic.Problem(
    numbers=np.tile(np.array(numbers, np.int32), (NUM, 1)),
    target=np.full(NUM, target, np.int32),
  )


def encoded(task, texts):
  """Return `(tokens [n, T], lengths [n])`; what does not fit is cut off."""
  rows = [task.tokenizer.encode(text) for text in texts]
  tokens = np.zeros((len(texts), task.max_step_tokens), np.int32)
  for row, ids in zip(tokens, rows, strict=True):
    row[: len(ids)] = ids[: len(row)]
  return jnp.asarray(tokens), jnp.array([len(ids) for ids in rows])


def texts_of(task, tokens, lengths):
  return [
    task.tokenizer.decode(row[:length])
    for row, length in zip(np.asarray(tokens), lengths, strict=True)
  ]


def numbers_of(line):
  """Return the numbers and the target of a state's text."""
  numbers, target = line.removesuffix("\n").split(":")
  parsed = [fractions.Fraction(x.replace("|", "/")) for x in numbers.split(" ")]
  return parsed, int(target)


def written(number):
  return str(number).replace("/", "|")


def checked(task, line, text):
  """Return the line after a step, or None if the step is illegal."""
  match = STEP.fullmatch(text)
  if match is None:
    return None
  values = []
  for i in (1, 4, 6):
    numerator, denominator = int(match[i]), int(match[i + 1] or 1)
    values.append(fractions.Fraction(numerator, denominator))
    if written(values[-1]) != text[match.start(i) : match.end(i)] + (
      "" if match[i + 1] is None else f"|{denominator}"
    ):
      return None
  a, b, c = values
  numbers, target = numbers_of(line)
  if a not in numbers:
    return None
  rest = list(numbers)
  rest.remove(a)
  if b not in rest:
    return None
  if match[3] == "/" and b == 0:
    return None
  result = {
    "+": lambda: a + b,
    "-": lambda: a - b,
    "*": lambda: a * b,
    "/": lambda: a / b,
  }[match[3]]()
  fits = max(c.numerator, c.denominator) <= task.max_value
  whole = task.fractional or c.denominator == 1
  if result != c or c < 0 or not fits or not whole:
    return None
  place_a = numbers.index(a)
  place_b = next(i for i, x in enumerate(numbers) if x == b and i != place_a)
  numbers[place_a] = c
  del numbers[place_b]
  return " ".join(map(written, numbers)) + f":{target}\n"


def mutated(rng, text):
  """Return `text` with a character dropped, added, changed or moved."""
  i, j = rng.randrange(len(text)), rng.randrange(len(text))
  character = rng.choice("0123456789+-*/=|: \n")
  return rng.choice(
    [
      text[:i] + text[i + 1 :],
      text[:i] + character + text[i:],
      text[:i] + character + text[i + 1 :],
      "".join(text[j] if k == i else x for k, x in enumerate(text)),
    ]
  )


def adversarial(rng, line):
  """Return texts that look like steps of a state, right or wrong."""
  numbers, _ = numbers_of(line)
  a, b = rng.choice(numbers), rng.choice(numbers)
  sign, c = rng.choice("+-*/"), rng.choice(numbers)
  values = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else c}
  a, b, c = written(a), written(b), written(values[sign])
  return [
    f"{a}{sign}{b}={c}\n",
    f"{b}{sign}{a}={c}\n",
    f"{a}{sign}{b}=0{c}\n",
    f"0{a}{sign}{b}={c}\n",
    f"{a}{sign}0{b}={c}\n",
    f"{a} {sign} {b} = {c}\n",
    f"{a}{sign}{b}={c}",
    f"{a}{sign}{b}={c}\n\n",
    f"{a}{sign}{b}{sign}{b}={c}\n",
    f"{a}{sign}={c}\n",
    f"{sign}{b}={c}\n",
    f"{a}{sign}{b}=\n",
    f"{a}|1{sign}{b}={c}\n",
    f"{a}{sign}{b}={c}|1\n",
    f"{a}{sign}{b}|0={c}\n",
    f"{a}-{b}=-{c}\n",
    f"{a}/0=0\n",
    f"{rng.randrange(10**9)}{sign}{b}={c}\n",
    f"{int(2**32) + numbers[0].numerator}+{b}=1\n",
    "\n",
    "",
  ]


def observed(task, state, i):
  length = state.observation_length[i]
  assert not np.any(state.observation[i, length:])
  return task.tokenizer.decode(state.observation[i, :length])


@pytest.mark.parametrize("task", [COUNTDOWN, GAME24], ids=lambda x: x.name)
def test_step_agrees_with_a_checker_in_python(task):
  init, step, random_step = functions(task)
  rng = random.Random(0)
  state = init(task.sample_numpy(np.random.default_rng(0), NUM, "train"))
  num_legal = {"legal": 0, "mutated": 0, "adversarial": 0}
  for depth in range(task.max_steps):
    lines = texts_of(task, state.observation, state.observation_length)
    keys = jax.random.split(jax.random.key(depth), NUM)
    moves, lengths = random_step(keys, state)
    legal = texts_of(task, moves, lengths)
    tries = {
      "mutated": [mutated(rng, text) for text in legal],
      "adversarial": [
        (choices := adversarial(rng, line))[i % len(choices)]
        for i, line in enumerate(lines)
      ],
      "legal": legal,
    }
    for kind, texts in tries.items():
      after = step(state, *encoded(task, texts))
      told = jax.device_get(after)
      expected = [checked(task, *x) for x in zip(lines, texts, strict=True)]
      for i, line in enumerate(expected):
        assert told.legal[i] == (line is not None), (lines[i], texts[i])
        assert observed(task, told, i) == (line or lines[i])
        ended = line is None or " " not in line
        assert told.terminated[i] == ended
        numbers, target = numbers_of(line or lines[i])
        solved = line is not None and numbers == [target]
        assert told.reward[i] == solved
        num_legal[kind] += line is not None
    state = after
  assert num_legal["legal"] == NUM * task.max_steps
  assert 0 < num_legal["mutated"] < NUM
  assert 0 < num_legal["adversarial"] < NUM
  # Nothing follows the end.
  moves, lengths = random_step(keys, state)
  assert np.all(np.asarray(lengths) == 0) and np.all(np.asarray(moves) == 0)
  later = step(state, moves, lengths)
  assert np.all(np.asarray(later.reward) == 0)
  same = jax.tree.map(
    jnp.array_equal, later, state.replace(reward=later.reward)
  )
  assert jax.tree.all(same)


@pytest.mark.parametrize(
  ("task", "numbers", "steps", "reward"),
  [
    (COUNTDOWN, [25, 3, 7, 8], ["8-7=1", "25-1=24", "24*3=72"], 0),
    (COUNTDOWN, [3, 8, 8, 7], ["8/8=1", "7+1=8", "3*8=24"], 1),
    (GAME24, [3, 3, 8, 8], ["8/3=8|3", "3-8|3=1|3", "8/1|3=24"], 1),
    (SHUFFLED, [3, 3, 8, 8], ["8/3=8|3", "3-8|3=1|3", "8/1|3=24"], 1),
  ],
)
def test_solutions_are_rewarded(task, numbers, steps, reward):
  init, step, _ = functions(task)
  state = init(batched(numbers, 24))
  for text in steps:
    assert not np.any(state.terminated)
    state = step(state, *encoded(task, [text + "\n"] * NUM))
    assert np.all(state.legal)
  assert np.all(state.terminated) and np.all(state.reward == reward)


def test_steps_and_observations_fit():
  """The longest there are, found by trying every step of chosen hands."""
  task = GAME24
  lengths = []
  for hand in [[10, 11, 12, 13], [11, 12, 12, 13], [13, 13, 13, 13]]:
    pending = {tuple(map(fractions.Fraction, hand))}
    while pending:
      numbers = pending.pop()
      line = " ".join(map(written, numbers)) + ":24\n"
      assert len(line) <= task.max_observation_tokens
      for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
          if i == j:
            continue
          rest = [x for k, x in enumerate(numbers) if k not in (i, j)]
          for sign, c in [("+", a + b), ("*", a * b), ("-", a - b)] + (
            [("/", a / b)] if b else []
          ):
            if c >= 0:
              text = f"{written(a)}{sign}{written(b)}={written(c)}\n"
              lengths.append(len(text))
              pending.add(tuple(sorted([*rest, c])))
  assert max(lengths) == task.max_step_tokens


def test_hash_is_that_of_a_multiset_under_numpy_and_jax():
  rng = np.random.default_rng(0)
  numerators = rng.integers(0, 100, (200, 4), np.int32)
  denominators = rng.integers(1, 5, (200, 4), np.int32)
  targets = rng.integers(10, 100, 200, np.int32)
  numbers = rational.Rational(numerators, denominators)
  hashed = rational.hash_numbers(numbers, targets)
  assert hashed.dtype == np.uint32 and len(set(hashed.tolist())) == 200
  in_jax = jax.jit(rational.hash_numbers)(numbers, targets)
  np.testing.assert_array_equal(in_jax, hashed)
  order = rng.permutation(4)
  moved = rational.Rational(*(x[:, order] for x in numbers))
  np.testing.assert_array_equal(rational.hash_numbers(moved, targets), hashed)
  # Empty places count for nothing, a zero counts, and so does a repetition.
  padded = [np.pad(x, ((0, 0), (1, 2))) for x in numbers]
  padded[0][:, 0] = 77
  np.testing.assert_array_equal(
    rational.hash_numbers(rational.Rational(*padded), targets), hashed
  )
  values = [[5], [5, 0], [5, 5], [5, 5, 0], [0, 5, 5, 5]]
  hashes = [
    rational.hash_numbers(
      rational.Rational(np.array(x), np.ones(len(x), int)), np.array(24)
    )
    for x in values
  ]
  assert len({int(x) for x in hashes}) == len(values)


@pytest.mark.parametrize("task", [COUNTDOWN, GAME24], ids=lambda x: x.name)
def test_splits_are_disjoint_and_known_to_states(task):
  init = functions(task)[0]
  seen = {}
  for split in ("train", "test"):
    problems = task.sample_numpy(np.random.default_rng(0), NUM, split)
    state = init(problems)
    ones = np.ones_like(problems.numbers)
    hashed = rational.hash_numbers(
      rational.Rational(problems.numbers, ones), problems.target
    )
    held_out = hashing.in_test_split(hashed)
    np.testing.assert_array_equal(state.held_out, held_out)
    np.testing.assert_array_equal(state.fingerprint, hashed)
    assert np.all(held_out == (split == "test"))
    seen[split] = {
      (*sorted(row), target)
      for row, target in zip(
        problems.numbers.tolist(), problems.target.tolist(), strict=True
      )
    }
  assert not seen["train"] & seen["test"]


def test_equal_states_have_equal_fingerprints():
  task = COUNTDOWN
  init, step, _ = functions(task)
  state = init(batched([2, 2, 5, 7], 20))
  texts = ["2+2=4\n", "2*2=4\n", "7-5=2\n", "5+7=12\n", "7+5=12\n"]
  texts += [""] * (NUM - len(texts))
  fingerprints = step(state, *encoded(task, texts)).fingerprint.tolist()[:6]
  assert fingerprints[0] == fingerprints[1]
  assert fingerprints[3] == fingerprints[4]
  assert len(set(fingerprints)) == 4


def test_tasks_are_static_values():
  assert COUNTDOWN == countdown.Countdown()
  assert hash(COUNTDOWN) == hash(countdown.Countdown())
  assert COUNTDOWN != countdown.Countdown(num_numbers=3)
  assert game24.Game24() != game24.Game24(context="append")
  with pytest.raises(ValueError, match="context 'both'"):
    game24.Game24(context="both")
  with pytest.raises(ValueError, match="not one token"):
    game24.Game24(tokenizer=tokenizer_lib.Tokenizer.train(["abc"]))


@pytest.mark.parametrize(
  ("line", "wrong"),
  [
    ("{", "not JSON"),
    ("[1]", 'not an object with "numbers" and "target"'),
    ('{"numbers": [1, 2, 3], "target": 24}', '"numbers" is not a list of 4'),
    ('{"numbers": [0, 2, 3, 4], "target": 24}', "number 0 is not an integer"),
    ('{"numbers": [1, 2, 3, true], "target": 24}', "number True is not"),
    ('{"numbers": [1, 2, 3, 4], "target": 2.5}', "target 2.5 is not"),
    ('{"numbers": [1, 2, 3, 4]}', "target None is not an integer 10 to 100"),
    ('{"numbers": [1, 2, 3, 4], "target": 101}', "target 101 is not"),
  ],
)
def test_malformed_problems_are_named(tmp_path, line, wrong):
  path = tmp_path / "problems.jsonl"
  path.write_text(f'\n{{"numbers": [1, 2, 3, 4], "target": 24}}\n{line}\n')
  with pytest.raises(ValueError) as error:
    COUNTDOWN.read_problems(path)
  message = str(error.value)
  assert message.startswith(f"{path}, line 3: ") and wrong in message
  assert "\n" not in message


def test_reads_and_describes_problems(tmp_path):
  path = tmp_path / "problems.jsonl"
  with pytest.raises(ValueError, match=re.escape(f"{path}: No such file")):
    COUNTDOWN.read_problems(path)
  path.write_text("\n")
  with pytest.raises(ValueError, match=re.escape(f"{path}: no problems")):
    COUNTDOWN.read_problems(path)
  path.write_text('{"numbers": [1, 2, 3, 4]}\n')
  problems = GAME24.read_problems(path)
  np.testing.assert_array_equal(problems.numbers, [[1, 2, 3, 4]])
  np.testing.assert_array_equal(problems.target, [24])
  first = jax.tree.map(lambda x: x[0], problems)
  assert GAME24.describe(first) == (
    "Combine 1, 2, 3 and 4, each once, by + - * and /, to make 24."
  )


@pytest.mark.parametrize("task", [COUNTDOWN, GAME24])
def test_augmented_states_hold_the_same_numbers(task):
  init, step, draw = functions(task)
  problems = task.sample_numpy(np.random.default_rng(0), NUM, "train")
  state = init(problems)
  orders = set()
  for seed in range(2):
    keys = jax.random.split(jax.random.key(seed), NUM)
    tokens, lengths = draw(keys, state)
    contexts, steps = jax.jit(jax.vmap(task.augment))(
      keys, state.observation, tokens[:, None]
    )
    np.testing.assert_array_equal(steps[:, 0], tokens)
    for shown, told in zip(contexts, state.observation, strict=True):
      shown, told = (
        task.tokenizer.decode(np.asarray(x)) for x in (shown, told)
      )
      (numbers, target), (old, aim) = shown.split(":"), told.split(":")
      assert target == aim
      assert sorted(numbers.split(" ")) == sorted(old.split(" "))
      if len({*old.split(" ")}) == task.num_numbers:
        old = old.split(" ")
        orders.add(tuple(old.index(x) for x in numbers.split(" ")))
    state = step(state, tokens, lengths)
  assert len(orders) == 24


def test_an_append_context_has_no_symmetries():
  task = countdown.Countdown(context="append")
  with pytest.raises(NotImplementedError, match="append context"):
    task.augment(jax.random.key(0), jnp.zeros(9, jnp.int32), jnp.zeros(9))
