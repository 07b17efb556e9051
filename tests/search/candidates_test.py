import functools
import itertools

import fake_model
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import unoptimized

from alphallm.models import attention
from alphallm.search import candidates

PROMPT = [4, 1, 2]


@functools.cache
def sampler(k, t, stop_ids, **options):
  """Return `f(params, keys, prompts, lengths)`, jitted."""

  @unoptimized.jit
  def sample(params, keys, prompts, lengths):
    places = jnp.broadcast_to(jnp.arange(prompts.shape[1]), prompts.shape)
    output = fake_model.apply_fn(
      params,
      prompts[:, None],
      places[:, None],
      read=lengths[:, None, None] - 1,
    )
    held = jnp.arange(prompts.shape[1])[None] < lengths[:, None]
    prompt = attention.Segment(
      kv=jax.tree.map(lambda x: x[:, 0], output.kv), mask=held[:, None, None]
    )
    return candidates.sample(
      fake_model.apply_fn,
      params,
      keys,
      output.logits[:, 0, 0],
      lengths,
      [prompt],
      num_candidates=k,
      max_step_tokens=t,
      stop_ids=stop_ids,
      **options,
    )

  return sample


def draw(params, keys, k, t, stop_ids, *, prompts=None, **options):
  """Sample after `PROMPT`, or after prompts of any length."""
  if prompts is None:
    prompts = [PROMPT] * len(keys)
  size = max(map(len, prompts))
  padded = np.array([p + [0] * (size - len(p)) for p in prompts], np.int32)
  lengths = np.array([len(p) for p in prompts], np.int32)
  found = sampler(k, t, stop_ids, **options)(params, keys, padded, lengths)
  return jax.tree.map(np.asarray, found)


def keys_like(n, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def all_steps(params, vocab, max_tokens, stop_ids, temperature=1.0):
  """Enumerate every step and its log-probability."""
  steps = {}
  for n in range(1, max_tokens + 1):
    for step in itertools.product(range(vocab), repeat=n):
      ends = [token in stop_ids for token in step]
      if not any(ends[:-1]) and (ends[-1] or n == max_tokens):
        total, context = 0.0, list(PROMPT)
        for token in step:
          log_probs, _ = fake_model.reference(params, context)
          log_probs = log_probs / temperature
          total += log_probs[token] - np.logaddexp.reduce(log_probs)
          context.append(token)
        steps[step] = total
  assert np.isclose(np.exp(list(steps.values())).sum(), 1.0)
  return steps


def sets_without_replacement(steps, k):
  """Return the probability that the `k` first draws are each set of steps."""
  names, p = list(steps), np.exp(list(steps.values()))
  sets = {}
  for order in itertools.permutations(range(len(names)), k):
    left, chance = 1.0, 1.0
    for i in order:
      chance *= p[i] / left
      left -= p[i]
    key = frozenset(names[i] for i in order)
    sets[key] = sets.get(key, 0.0) + chance
  return sets


def read(found, row, k):
  """Return a step as a tuple of tokens."""
  return tuple(found.tokens[row, k, : found.lengths[row, k]].tolist())


def chi_square(counts, probabilities, num_draws):
  """Return Pearson's statistic, in standard deviations above its mean."""
  expected = num_draws * np.array(probabilities)
  seen = np.array(list(counts))
  rare = expected < 5
  if rare.any():
    expected = np.append(expected[~rare], expected[rare].sum())
    seen = np.append(seen[~rare], seen[rare].sum())
  degrees = len(seen) - 1
  statistic = np.sum((seen - expected) ** 2 / expected)
  return (statistic - degrees) / np.sqrt(2 * degrees)


def toy_params(vocab, seed=0, **options):
  return fake_model.init_params(vocab, seed=seed, max_positions=16, **options)


def test_steps_are_distinct_and_log_probs_the_models_own():
  params = toy_params(9)
  prompts = [PROMPT, [7], [1, 2, 3, 4, 5], [8, 8], [2, 6, 4]]
  found, _ = draw(params, keys_like(5), 6, 4, (3, 5), prompts=prompts)
  for b in range(5):
    steps = [read(found, b, k) for k in range(6)]
    assert len(set(steps)) == 6
    for k, step in enumerate(steps):
      ends = [token in (3, 5) for token in step]
      assert not any(ends[:-1])
      assert ends[-1] or len(step) == 4
      assert np.all(found.tokens[b, k, len(step) :] == 0)
      expected = fake_model.log_prob(params, prompts[b], step)
      np.testing.assert_allclose(found.log_probs[b, k], expected, rtol=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sets_match_sampling_without_replacement(temperature):
  """Kool et al. (2019): the top k of a Gumbel-perturbed tree."""
  vocab, stop_ids, n, k = 5, (3, 4), 8192, 2
  params = toy_params(vocab, scale=1.0)
  steps = all_steps(params, vocab, 2, stop_ids, temperature)
  found, _ = draw(params, keys_like(n), k, 2, stop_ids, temperature=temperature)
  sets = sets_without_replacement(steps, k)
  counts = dict.fromkeys(sets, 0)
  for b in range(n):
    counts[frozenset(read(found, b, i) for i in range(k))] += 1
  assert abs(chi_square(counts.values(), list(sets.values()), n)) < 4
  # And the order is that of the perturbed values: the first is a plain sample.
  firsts = dict.fromkeys(steps, 0)
  for b in range(n):
    firsts[read(found, b, 0)] += 1
  first = list(np.exp(list(steps.values())))
  assert abs(chi_square(firsts.values(), first, n)) < 4
  # What is reported belongs to the distribution sampled from.
  for b, i in itertools.product(range(8), range(k)):
    np.testing.assert_allclose(
      found.log_probs[b, i], steps[read(found, b, i)], rtol=1e-4
    )


def test_one_candidate_is_an_ancestral_sample():
  vocab, stop_ids, n = 4, (3,), 8192
  params = toy_params(vocab, seed=1, scale=1.0)
  prompts = [[1, 2]] * n
  found, _ = draw(params, keys_like(n, 1), 1, 3, stop_ids, prompts=prompts)
  counts = {}
  for b in range(n):
    step = read(found, b, 0)
    counts[step] = counts.get(step, 0) + 1
  chances = {
    step: np.exp(fake_model.log_prob(params, [1, 2], step))
    for step in itertools.chain.from_iterable(
      itertools.product(range(vocab), repeat=r) for r in (1, 2, 3)
    )
    if 3 not in step[:-1] and (step[-1] == 3 or len(step) == 3)
  }
  assert np.isclose(sum(chances.values()), 1)
  seen = [counts.get(step, 0) for step in chances]
  assert sum(seen) == n
  assert abs(chi_square(seen, list(chances.values()), n)) < 4


@pytest.mark.parametrize("k", [1, 3, 6])
def test_without_noise_is_beam_search(k):
  params = toy_params(9, seed=2)
  prompts = [PROMPT, [7], [1, 2, 3, 4, 5], [8, 8], [2, 6, 4]]
  found, _ = draw(
    params, keys_like(5), k, 4, (3, 5), prompts=prompts, noise=False
  )
  for b, prompt in enumerate(prompts):
    expected = fake_model.beam_search(
      params, prompt, width=k, max_tokens=4, stop_ids=(3, 5)
    )
    for i, (step, log_prob) in enumerate(expected):
      assert read(found, b, i) == step
      np.testing.assert_allclose(found.log_probs[b, i], log_prob, rtol=2e-5)


def test_greedy_takes_the_most_probable_token():
  params = toy_params(9, seed=3)
  found, _ = draw(params, keys_like(1), 1, 4, (3, 5), noise=False)
  context, step = list(PROMPT), []
  while len(step) < 4 and not (step and step[-1] in (3, 5)):
    step.append(int(np.argmax(fake_model.reference(params, context)[0])))
    context.append(step[-1])
  assert read(found, 0, 0) == tuple(step)


@pytest.mark.parametrize("noise", [True, False])
def test_rows_do_not_depend_on_each_other(noise):
  """Short steps beside long ones: a row that has ended only waits."""
  params = toy_params(9, seed=4)
  prompts = [PROMPT, [7], [1, 2, 3, 4, 5], [8, 8], [2, 6, 4]]
  prompts = [p + [0] * (5 - len(p)) for p in prompts]  # to one shape
  lengths = [3, 1, 5, 2, 3]
  keys = keys_like(5, 5)
  run = sampler(4, 6, (3, 5), noise=noise)
  whole, tokens = run(params, keys, np.array(prompts), np.array(lengths))
  for b in range(5):
    one = slice(b, b + 1)
    alone, alone_tokens = run(
      params, keys[one], np.array(prompts[one]), np.array(lengths[one])
    )
    np.testing.assert_array_equal(alone.tokens, whole.tokens[one])
    np.testing.assert_array_equal(alone.lengths, whole.lengths[one])
    np.testing.assert_allclose(alone.log_probs, whole.log_probs[one], rtol=1e-5)
    assert alone_tokens[0] == tokens[b]


def test_ends_as_soon_as_every_candidate_has():
  """Where all tokens stop, the network is never asked."""
  params = toy_params(9)
  found, tokens = draw(params, keys_like(2), 4, 5, tuple(range(9)))
  assert np.all(found.lengths == 1)
  assert np.all(tokens == 0)
  # Where none does, all K are passed T - 1 times.
  found, tokens = draw(params, keys_like(2), 4, 5, (99,))
  assert np.all(found.lengths == 5)
  assert np.all(tokens == 4 * 4)


@pytest.mark.parametrize("distinct", [True, False])
def test_nothing_is_written_where_nothing_is_wanted(distinct):
  params, keys = toy_params(9, seed=4), keys_like(3, 5)
  args = params, keys, np.array([PROMPT] * 3), np.array([3] * 3)
  run = sampler.__wrapped__  # an array is no key of a cache
  whole, tokens = run(4, 6, (5,), distinct=distinct)(*args)
  active = jnp.array([True, False, True])
  found, spent = run(4, 6, (5,), distinct=distinct, active=active)(*args)
  assert not np.any(found.tokens[1]) and not np.any(found.lengths[1])
  assert spent.tolist() == (tokens * active).tolist()
  for row in 0, 2:
    np.testing.assert_array_equal(found.tokens[row], whole.tokens[row])
  none = run(4, 6, (5,), distinct=distinct, active=jnp.zeros(3, bool))(*args)
  assert not np.any(none[1]) and not np.any(none[0].tokens)


def test_one_token_steps():
  params = toy_params(9)
  found, tokens = draw(params, keys_like(2), 3, 1, (3,))
  assert found.tokens.shape == (2, 3, 1)
  assert np.all(found.lengths == 1)
  assert np.all(tokens == 0)
  assert all(len(set(row.tolist())) == 3 for row in found.tokens[..., 0])


def test_fewer_steps_than_candidates():
  """What is left over is marked impossible; the steps there are all come."""
  vocab, stop_ids = 5, (3, 4)
  params = toy_params(vocab)
  steps = all_steps(params, vocab, 1, stop_ids)
  for noise in True, False:
    found, _ = draw(params, keys_like(3), 8, 1, stop_ids, noise=noise)
    real = found.log_probs > candidates.IMPOSSIBLE / 2
    assert np.all(real.sum(axis=1) == vocab)
    for b in range(3):
      read_steps = {read(found, b, k) for k in range(8) if real[b, k]}
      assert read_steps == set(steps)
    assert np.all(np.isfinite(found.log_probs))


def test_children_are_perturbed_below_their_parent():
  rng = np.random.default_rng(0)
  log_p = np.log(rng.dirichlet(np.ones(6), size=(50, 3)))
  parent_log_p = rng.normal(size=(50, 3)) - 5
  parent = parent_log_p + rng.gumbel(size=(50, 3))
  noise = rng.gumbel(size=(50, 3, 6))
  phi = parent_log_p[..., None] + log_p
  found = candidates.gumbel_children(
    jnp.float32(phi), jnp.float32(parent), jnp.float32(noise)
  )
  np.testing.assert_allclose(np.max(found, axis=-1), parent, rtol=1e-5)
  # The formula before it was made stable (Kool et al., 2019, eq. 11).
  noisy = phi + noise
  largest = noisy.max(axis=-1, keepdims=True)
  expected = -np.log(
    np.exp(-parent[..., None]) - np.exp(-largest) + np.exp(-noisy)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  assert np.all(np.argmax(found, -1) == np.argmax(noisy, -1))


def test_children_of_a_sure_token():
  """A beam that has ended keeps its value exactly, whatever the noise."""
  phi = jnp.array([-7.0, -1e9, -1e9, -2e9])
  for gumbel in 30.0, 0.0, -3.0:
    found = candidates.gumbel_children(
      phi, jnp.float32(2.5), jnp.array([gumbel, 3.0, -2.0, 30.0])
    )
    assert found[0] == 2.5
    assert np.all(found[1:] < -1e8)
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_independent_draws_follow_the_policy(temperature):
  """Every draw by itself, and any two together; what is left out is π/β."""
  vocab, stop_ids, n = 5, (3, 4), 8192
  params = toy_params(vocab, scale=1.0)
  steps = all_steps(params, vocab, 2, stop_ids, temperature)
  policy = all_steps(params, vocab, 2, stop_ids)
  found, _ = draw(
    params,
    keys_like(n),
    3,
    2,
    stop_ids,
    distinct=False,
    temperature=temperature,
  )
  drawn = [[read(found, b, k) for k in range(3)] for b in range(n)]
  p = np.exp(list(steps.values()))
  for k in range(3):
    counts = dict.fromkeys(steps, 0)
    for row in drawn:
      counts[row[k]] += 1
    assert abs(chi_square(counts.values(), p, n)) < 4
  equal = np.mean([row[0] == row[1] for row in drawn])
  assert abs(equal - np.sum(p**2)) < 4 * np.sqrt(equal / n)
  for b, k in itertools.product(range(8), range(3)):
    step = drawn[b][k]
    np.testing.assert_allclose(found.log_probs[b, k], steps[step], rtol=1e-4)
    np.testing.assert_allclose(
      found.prior[b, k], policy[step] - steps[step], atol=1e-5
    )


def test_the_prior_of_distinct_steps_is_their_probability():
  found, _ = draw(toy_params(9), keys_like(3), 4, 3, (3,), temperature=2.0)
  np.testing.assert_array_equal(found.prior, found.log_probs)


@pytest.mark.parametrize("vocab", [1, 2, 10, 97])
def test_inverse_cdf_gives_each_token_its_share(vocab):
  rng = np.random.default_rng(vocab)
  probs = rng.dirichlet(np.ones(vocab)).astype(np.float32)
  probs[rng.random(vocab) < 0.3] = 0
  probs[-1] += 1 - probs.sum()
  log_probs = np.where(
    probs > 0, np.log(np.maximum(probs, 1e-30)), candidates.IMPOSSIBLE
  )
  n = 10_000
  uniform = (np.arange(n, dtype=np.float32) + 0.5) / n
  tokens = jax.jit(candidates.inverse_cdf)(
    np.broadcast_to(log_probs, (n, vocab)), uniform
  )
  counts = np.bincount(np.asarray(tokens), minlength=vocab)
  np.testing.assert_allclose(counts / n, probs, atol=3 / n)
  assert not counts[probs == 0].any()
  # At both ends too.
  ends = np.float32([0.0, np.nextafter(np.float32(1), np.float32(0))])
  ends = candidates.inverse_cdf(np.broadcast_to(log_probs, (2, vocab)), ends)
  assert (probs[np.asarray(ends)] > 0).all()
