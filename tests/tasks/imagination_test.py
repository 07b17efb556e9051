"""Steps in the imagination of a network that knows the rules by heart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import unoptimized

from alphallm import models, tasks
from alphallm.search import continuation
from alphallm.tasks import imagination, proposals

THOUGHTS = tasks.Thoughts(
  source=tasks.Countdown(num_numbers=3, max_target=30, max_value=99)
)
TASK = proposals.Proposals(thoughts=THOUGHTS)
WORDS = THOUGHTS.tokenizer


def behind(text):
  """Return what a perfect thought goes on with, from a part of it."""
  state, mark, said = text.partition("\n<complete>")
  step, arrow, written = said.partition(">")
  numbers, _, target = state.partition(":")
  numbers = list(map(int, numbers.split()))
  signs = [x for x in step if x in "+-*/"]
  if not (mark and arrow and signs):
    return ""
  left, _, result = step.partition("=")
  first = int(left.split(signs[0])[0])
  second = int(left.split(signs[0])[1])
  result = int(result)
  place = numbers.index(first)
  numbers[place] = result
  rest = list(numbers)
  other = [i for i, x in enumerate(rest) if x == second and i != place]
  del rest[other[0]]
  line = " ".join(map(str, rest)) + f":{target}\n"
  if len(rest) == 1:
    line += f"<evaluate>{9 * (rest[0] == int(target))}\n"
  return line[len(written) :] if line.startswith(written) else ""


def next_tokens(tokens):
  """Return the logits behind each place of texts, `[n, C, V]`."""
  tokens = np.asarray(tokens)
  logits = np.zeros((*tokens.shape, WORDS.vocab_size), np.float32)
  for row, place in np.ndindex(tokens.shape):
    try:
      text = behind("".join(piece(t) for t in tokens[row, : place + 1]))
    except (ValueError, IndexError):
      text = ""
    ids = WORDS.encode(text) if text else [0]
    logits[row, place, ids[0]] = 1.0
  return logits


def piece(token):
  names = {WORDS.id(mark): mark for mark in ("<complete>", "<evaluate>")}
  return names.get(int(token), WORDS.decode([token]))


def forward(params, tokens):
  del params
  shape = (*tokens.shape, WORDS.vocab_size)
  return jax.pure_callback(
    next_tokens,
    jax.ShapeDtypeStruct(shape, jnp.float32),
    tokens,
    vmap_method="sequential",
  )


@pytest.fixture(scope="module")
def played():
  """Play two random steps of some problems, in truth and in imagination."""
  imagined = imagination.Imagination(
    task=TASK,
    write=functools.partial(
      continuation.greedy, models.without_cache(forward), ()
    ),
  )
  count = 6
  problems = TASK.sample_numpy(np.random.default_rng(3), count, "train")

  def play(key, problem):
    one, two = jax.random.split(key)
    true, seen, pairs = TASK.init(problem), imagined.init(problem), []
    for own in (one, two):
      step, length = TASK.random_step(own, true)
      true = TASK.step(true, step, length)
      seen = imagined.step(seen, step, length)
      pairs.append((true.replace(inner=()), seen.replace(inner=())))
    broken = imagined.step(imagined.init(problem), step, length - 1)
    return pairs, broken

  run = unoptimized.jit(play)
  keys = jax.random.split(jax.random.key(0), count)
  return [
    jax.device_get(run(keys[i], jax.tree.map(lambda x, i=i: x[i], problems)))
    for i in range(count)
  ]


def test_steps_lead_where_the_rules_say(played):
  for pairs, _ in played:
    for true, seen in pairs:
      assert seen.legal == true.legal
      if true.legal:
        length = int(true.observation_length)
        assert seen.observation_length == length
        np.testing.assert_array_equal(
          seen.observation[:length], true.observation[:length]
        )
      assert seen.terminated == true.terminated
      assert seen.reward == true.reward
  prints = [pairs[0][1].fingerprint for pairs, _ in played]
  assert len(set(map(int, prints))) == len(prints)


def test_what_is_no_step_leads_nowhere(played):
  for _, broken in played:
    assert not broken.legal and broken.terminated and broken.reward == 0
