import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.search import truncation


def reference(logits, *, top_k=0, top_p=1.0, min_p=0.0):
  """Return the log-probabilities in plain Python, one token after another."""
  order = sorted(range(len(logits)), key=lambda i: -logits[i])
  if top_k:
    order = order[:top_k]
  weights = {i: np.exp(np.float64(logits[i])) for i in order}
  if top_p < 1:
    total, seen, kept = sum(weights.values()), 0.0, []
    for i in order:
      if seen >= top_p:
        break
      kept.append(i)
      seen += weights[i] / total
    order = kept
  most = weights[order[0]]
  order = [i for i in order if weights[i] >= min_p * most]
  total = sum(weights[i] for i in order)
  kept = np.full(len(logits), truncation.IMPOSSIBLE)
  for i in order:
    kept[i] = np.log(weights[i] / total)
  return kept


@pytest.mark.parametrize(
  "rules",
  [
    {},
    {"top_k": 3},
    {"top_k": 100},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"top_k": 6, "top_p": 0.8, "min_p": 0.1},
    {"top_p": 1e-6},
  ],
)
def test_equals_plain_python(rules):
  logits = np.random.default_rng(0).normal(scale=2, size=(20, 9))
  logits = logits.astype(np.float32)
  kept = truncation.log_probs(
    jnp.asarray(logits), truncation.Truncation(**rules)
  )
  expected = np.stack([reference(row, **rules) for row in logits])
  np.testing.assert_allclose(kept, expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(jax.nn.logsumexp(kept, axis=-1), 0.0, atol=1e-5)


def test_equal_logits_are_kept_together():
  kept = truncation.log_probs(jnp.zeros((4,)), truncation.Truncation(top_p=0.1))
  np.testing.assert_allclose(kept, np.log(0.25), rtol=1e-6)


@pytest.mark.parametrize(
  "rules", [{"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"min_p": -0.1}]
)
def test_refuses_what_is_out_of_range(rules):
  with pytest.raises(ValueError, match="must be"):
    truncation.Truncation(**rules)
