"""Tests of counting behaviours, and of decoding without one."""

import jax
import numpy as np

from alphallm.initialization import behaviours
from alphallm.models import network

TEXTS = [
  "<analyse>a\n<correct>b\n<correct>b\n",
  "<correct>b\n",
  "<analyse>a\n",
  "noise",
]
SOLVED = np.array([True, True, False, False])


def test_usage():
  found = behaviours.usage(TEXTS, SOLVED)
  assert found["correction"].share == 0.5 and found["correction"].times == 0.75
  assert found["correction"].success(True) == (2, 2)
  assert found["correction"].success(False) == (0, 2)
  assert found["analysis"].success(True) == (1, 2)
  assert found["evaluation"].share == 0
  assert found["evaluation"].success(True) == (0, 0)


def test_a_masked_token_is_never_written():
  def apply_fn(params, tokens, positions):
    logits = params * np.ones((*tokens.shape, 5), np.float32)
    return network.Output(logits=logits, value_logits=tokens, kv=())

  tokens = np.zeros((1, 2, 3), np.int32)
  biased = jax.jit(behaviours.with_bias(apply_fn))
  bias = behaviours.mask(5, [1, 4])
  probs = jax.nn.softmax(biased((2.0, bias), tokens, tokens).logits)
  np.testing.assert_allclose(probs[0, 1, 2], [1 / 3, 0, 1 / 3, 1 / 3, 0])
  probs = biased((2.0, behaviours.mask(5)), tokens, tokens).logits
  np.testing.assert_array_equal(probs, 2.0)
