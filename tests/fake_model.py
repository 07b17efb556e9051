"""A network of ten lines, and the same in plain NumPy.

Its logits and values depend on every token attended to and on its place,
so that a wrong mask, position or segment shows.
"""

import jax.numpy as jnp
import numpy as np

from alphallm.models import network


def init_params(
  vocab_size, *, seed=0, dim=8, max_positions=128, bias=None, scale=1.5
):
  """Return random parameters; `bias` `[V, V]` says what follows a token."""
  rng = np.random.default_rng(seed)

  def draw(*shape):
    return rng.normal(size=shape).astype(np.float32)

  if bias is None:
    bias = np.zeros((vocab_size, vocab_size))
  return {
    "embed": draw(max_positions, vocab_size, dim),
    "logits": scale * draw(dim, vocab_size) / dim**0.5,
    "value": 2 * draw(dim) / dim**0.5,
    "bias": np.asarray(bias, np.float32),
  }


def apply_fn(params, tokens, positions, *, segments=(), read=None):
  own = params["embed"][positions, tokens]  # [B, K, S, E]
  total = jnp.cumsum(own, axis=2)
  for segment in segments:
    (keys,) = segment.kv
    mask = jnp.broadcast_to(
      segment.mask, (*own.shape[:3], segment.mask.shape[-1])
    )
    letters = "bkce" if keys.ndim == 4 else "bce"
    total += jnp.einsum(f"bksc,{letters}->bkse", mask.astype(keys.dtype), keys)
  hidden = jnp.sin(total)
  logits = hidden @ params["logits"] + params["bias"][tokens]
  values = hidden @ params["value"]
  if read is not None:
    logits = jnp.take_along_axis(logits, read[..., None], axis=2)
    values = jnp.take_along_axis(values, read, axis=2)
  return network.Output(logits=logits, value_logits=values, kv=(own,))


def reference(params, tokens):
  """Return the log-probabilities `[V]` of the next token, and the value."""
  embed = np.asarray(params["embed"], np.float64)
  hidden = np.sin(sum(embed[i, token] for i, token in enumerate(tokens)))
  logits = hidden @ np.asarray(params["logits"], np.float64)
  logits += np.asarray(params["bias"])[tokens[-1]]
  log_probs = logits - np.logaddexp.reduce(logits)
  value = hidden @ np.asarray(params["value"], np.float64)
  return log_probs, 1 / (1 + np.exp(-value))


def log_prob(params, context, step):
  """Return log p of a step, token by token."""
  context, total = list(context), 0.0
  for token in step:
    total += reference(params, context)[0][token]
    context.append(token)
  return total


def beam_search(params, context, *, width, max_tokens, stop_ids):
  """Return the `width` steps of a beam search, `(tokens, log p)` each."""
  beams = [((), 0.0)]
  for _ in range(max_tokens):
    grown = []
    for tokens, total in beams:
      if tokens and tokens[-1] in stop_ids:
        grown.append((tokens, total))
        continue
      log_probs, _ = reference(params, [*context, *tokens])
      grown += [
        ((*tokens, token), total + p) for token, p in enumerate(log_probs)
      ]
    beams = sorted(grown, key=lambda beam: -beam[1])[:width]
  return beams
