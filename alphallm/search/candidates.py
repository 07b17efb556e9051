"""Candidate steps of a node: K spans of tokens, decoded side by side.

The candidates attend to shared segments (the prefix is held once) and to their
own tokens. The loop ends as soon as all candidates of all rows
have.
"""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from alphallm import parts, tokenizer
from alphallm.models import attention
from alphallm.search import branches as branches_lib
from alphallm.search import truncation as truncation_lib
from alphallm.search.truncation import IMPOSSIBLE as IMPOSSIBLE


@chex.dataclass(frozen=True)
class Candidates:
  """K steps of a node for each of B problems.

  Attributes:
    tokens: `[B, K, T]` int32, padded; the last token of a whole step is a stop.
    lengths: `[B, K]` int32, number of tokens.
    log_probs: `[B, K]` float32, of the whole step under the policy;
      `IMPOSSIBLE` or less where there was no further distinct step.
    prior: `[B, K]` float32, from which the search starts, a logarithm: of steps
      that are distinct their log-probability, of steps drawn independently
      what the sampling left out of it (see `sample`).
  """

  tokens: chex.Array
  lengths: chex.Array
  log_probs: chex.Array
  prior: chex.Array


@chex.dataclass(frozen=True)
class _Beams:
  time: chex.Array  # []
  tokens: chex.Array  # [B, K, T]
  lengths: chex.Array  # [B, K]
  log_probs: chex.Array  # [B, K]
  perturbed: chex.Array  # [B, K]
  correction: chex.Array  # [B, K]
  ended: chex.Array  # [B, K]
  branches: branches_lib.Branches
  model_tokens: chex.Array  # [B], that the network processed


def gumbel_children(
  log_probs: chex.Array, perturbed: chex.Array, gumbel: chex.Array
) -> chex.Array:
  """Perturb children so that their maximum is their parent's perturbed value.

  Stochastic beam search (Kool et al., 2019, appendix B.3): the top k of all
  perturbed sequences are a sample without replacement.

  Args:
    log_probs: `[..., V]`, log-probability of each child's whole sequence.
    perturbed: `[...]`, the parent's perturbed log-probability.
    gumbel: `[..., V]`, standard Gumbel noise.

  Returns:
    `[..., V]`, the children's perturbed log-probabilities.
  """
  noisy = log_probs + gumbel
  largest = jnp.max(noisy, axis=-1, keepdims=True)
  parent = perturbed[..., None]
  v = parent - noisy + jnp.log1p(-jnp.exp(noisy - largest))
  return parent - jnp.maximum(v, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(v)))


def inverse_cdf(log_probs: chex.Array, uniform: chex.Array) -> chex.Array:
  """Return tokens drawn from distributions, `[...]` int32.

  One random number chooses a block of tokens, then one within it: noise for
  every token of a large vocabulary would cost more than its logits.

  Args:
    log_probs: `[..., V]`.
    uniform: `[...]`, in [0, 1).
  """
  vocab = log_probs.shape[-1]
  width = max(1, round(vocab**0.5))
  blocks = -(-vocab // width)
  padding = [(0, 0)] * uniform.ndim + [(0, blocks * width - vocab)]
  probs = jnp.pad(jnp.exp(log_probs), padding)
  probs = probs.reshape(*uniform.shape, blocks, width)

  def first(probs, target):
    """Return where the sum of `probs` goes beyond the target, and the rest."""
    upto = jnp.cumsum(probs, axis=-1)
    beyond = upto > target[..., None]
    # By rounding the sum may fall short of it.
    place = jnp.where(
      jnp.any(beyond, axis=-1),
      jnp.argmax(beyond, axis=-1),
      jnp.argmax(probs, axis=-1),
    )
    at = lambda x: jnp.take_along_axis(x, place[..., None], axis=-1)[..., 0]
    return place, target - (at(upto) - at(probs))

  sums = jnp.sum(probs, axis=-1)
  block, rest = first(sums, uniform * jnp.sum(sums, axis=-1))
  inside = jnp.take_along_axis(probs, block[..., None, None], axis=-2)
  place, _ = first(inside[..., 0, :], rest)
  return (block * width + place).astype(jnp.int32)


@jax.custom_batching.custom_vmap
def _any_open(ended: chex.Array) -> chex.Array:
  """Return whether any of all candidates goes on, those of a `vmap` included.

  Were it of each of these by itself, every step of the loop would copy the keys
  and values of all, to keep those of the ones that are done.
  """
  return ~jnp.all(ended)


@_any_open.def_vmap
def _(axis_size, in_batched, ended):
  del axis_size, in_batched
  return _any_open(ended), False


def sample(
  apply_fn: Callable[..., Any],
  params: Any,
  rng_keys: chex.PRNGKey,
  logits: chex.Array,
  positions: chex.Array,
  segments: Sequence[attention.Segment],
  *,
  num_candidates: int,
  max_step_tokens: int,
  stop_ids: tuple[int, ...],
  noise: bool = True,
  distinct: bool = True,
  temperature: chex.Numeric = 1.0,
  truncation: truncation_lib.Truncation = truncation_lib.NO_TRUNCATION,
  active: chex.Array | None = None,
) -> tuple[Candidates, chex.Array]:
  """Sample K steps: without replacement, or independently of each other.

  Distinct steps come from stochastic beam search (Kool et al., 2019). With
  K = 1 this is ancestral sampling; without noise it is beam search, and with
  K = 1 greedy decoding.

  Independent steps may be equal. That a step was drawn already speaks for it,
  so that the prior of each draw is π/β alone, of the policy π and of the
  distribution β that was sampled from, and equal draws add up (Hubert et al.,
  2021, Sampled MuZero, eq. 8).

  Args:
    apply_fn: the network, see `alphallm.models.network`.
    params: its parameters.
    rng_keys: `[B]` keys, one per problem (consumed).
    logits: `[B, V]`, of the first token.
    positions: `[B]` int32, place of the first token in its context.
    segments: what the steps attend to, the first of them shared.
    num_candidates: K.
    max_step_tokens: T.
    stop_ids: the tokens that end a step.
    noise: whether to sample; else the beams of highest probability.
    distinct: whether steps are drawn without replacement.
    temperature: divides the logits; may be traced, for all or `[B]`. The
      reported log-probabilities are those of the distribution sampled from.
    truncation: which tokens may be sampled.
    active: `[B]` bool, for which problems steps are wanted; the others get
      steps without tokens, and nobody waits for them. `None`: for all.

  Returns:
    The candidates, and how many tokens the network processed, `[B]`.
  """
  if not (distinct or noise):
    raise ValueError("steps drawn independently need noise")
  batch, vocab = logits.shape
  k, t = num_candidates, max_step_tokens
  rows = jnp.arange(batch)[:, None]
  as_policy = (
    truncation == truncation_lib.NO_TRUNCATION
    and isinstance(temperature, float)
    and temperature == 1
  )
  if getattr(temperature, "ndim", 0):
    temperature = temperature[:, None, None]

  def draw(distribution, time, shape):
    keys = jax.vmap(jax.random.fold_in, (0, None))(rng_keys, time)
    return jax.vmap(lambda key: distribution(key, shape))(keys)

  def choose(beams, log_probs):
    """Return perturbed values, and which continuations of all are kept."""
    if not distinct:
      own = log_probs - beams.log_probs[..., None]
      token = inverse_cdf(own, draw(jax.random.uniform, beams.time, (k,)))
      return beams.perturbed, jnp.arange(k)[None] * vocab + token
    scores = log_probs
    if noise:
      gumbel = draw(jax.random.gumbel, beams.time, (k, vocab))
      scores = gumbel_children(log_probs, beams.perturbed, gumbel)
    return jax.lax.top_k(scores.reshape(batch, k * vocab), k)

  def extend(beams: _Beams, logits: chex.Array) -> _Beams:
    """Append one token to every beam that has not ended; keep K."""
    sampled = truncation_lib.log_probs(logits / temperature, truncation)
    stay = jnp.where(jnp.arange(vocab) == tokenizer.PAD_ID, 0.0, IMPOSSIBLE)
    log_probs = jnp.where(beams.ended[..., None], stay[None, None], sampled)
    log_probs = beams.log_probs[..., None] + log_probs
    perturbed, best = choose(beams, log_probs)
    parent, token = best // vocab, best % vocab
    correction = beams.correction[rows, parent]
    if not as_policy and not distinct:
      left_out = jax.nn.log_softmax(logits) - sampled
      left_out = left_out[rows, parent, token]
      correction += jnp.where(beams.ended[rows, parent], 0.0, left_out)
    was_ended = beams.ended[rows, parent]
    token = jnp.where(was_ended, tokenizer.PAD_ID, token)
    is_stop = jnp.isin(token, jnp.asarray(stop_ids))
    return beams.replace(
      time=beams.time + 1,
      tokens=beams.tokens[rows, parent].at[:, :, beams.time].set(token),
      lengths=beams.lengths[rows, parent] + ~was_ended,
      log_probs=jnp.take_along_axis(
        log_probs.reshape(batch, k * vocab), best, axis=1
      ),
      perturbed=perturbed,
      correction=correction,
      ended=was_ended | is_stop,
      branches=branches_lib.follow(beams.branches, parent),
    )

  def advance(beams: _Beams) -> _Beams:
    """Pass the last token of every beam through the network, then extend."""
    last = beams.time - 1
    output = apply_fn(
      params,
      jax.lax.dynamic_slice_in_dim(beams.tokens, last, 1, axis=2),
      jnp.broadcast_to((positions + last)[:, None, None], (batch, k, 1)),
      segments=[*segments, branches_lib.segment(beams.branches, last)],
    )
    # To no compiler is it known that all keys are read before these are
    # written, but by what the place depends on; else it copies all of them.
    place = jnp.where(parts.never(output.logits[0, 0, 0, :2]), 0, last)
    running = jnp.sum(~beams.ended, axis=-1)
    beams = beams.replace(
      branches=branches_lib.put(beams.branches, output.kv, place),
      model_tokens=beams.model_tokens + running,
    )
    return extend(beams, output.logits[:, :, 0])

  def is_running(beams: _Beams):
    going = parts.anywhere(params, _any_open(beams.ended))
    return (beams.time < t) & going

  is_root = (jnp.arange(k) == 0) | (not distinct)
  first = jnp.where(is_root, 0.0, IMPOSSIBLE)
  first = jnp.broadcast_to(first, (batch, k))
  if active is None:
    active = jnp.ones((batch,), bool)
  beams = _Beams(
    time=jnp.zeros((), jnp.int32),
    tokens=jnp.full((batch, k, t), tokenizer.PAD_ID, jnp.int32),
    lengths=jnp.zeros((batch, k), jnp.int32),
    log_probs=first,
    perturbed=first,
    correction=jnp.zeros((batch, k)),
    ended=jnp.broadcast_to(~active[:, None], (batch, k)),
    branches=branches_lib.bare(segments[0].kv, k, t - 1, fork=distinct),
    model_tokens=jnp.zeros((batch,), jnp.int32),
  )
  beams = extend(beams, jnp.broadcast_to(logits[:, None], (batch, k, vocab)))
  if t > 1:
    beams = jax.lax.while_loop(is_running, advance, beams)
  candidates = Candidates(
    tokens=beams.tokens,
    lengths=beams.lengths,
    log_probs=beams.log_probs,
    prior=beams.log_probs if distinct else beams.correction,
  )
  return candidates, beams.model_tokens
