"""Random episodes."""

import numpy as np

from alphallm import types

D, J, T, C = 4, 3, 2, 9  # D counts the last state too


def make(kind, lead=(3, 4)):
  """Return random episodes `[*lead]`, consistent in their lengths."""
  rng, lengths = np.random.default_rng(0), np.random.default_rng(1)
  n = rng.integers(0, D, lead).astype(np.int32)
  t = np.arange(D)
  solved = (rng.random(lead) < 0.5) & (n > 0)
  weights = rng.dirichlet(np.ones(J), (*lead, D)).astype(np.float32)
  weights[rng.random((*lead, D)) < 0.3] = 0  # no candidate was legal
  weights[t >= n[..., None]] = 0
  r = D if kind == "reset" else 1
  episodes = types.Episode(
    contexts=rng.integers(1, 9, (*lead, r, C)).astype(np.int32),
    ends=np.where(t <= n[..., None], rng.integers(1, C, (*lead, D)), 0).astype(
      np.int32
    ),
    steps=rng.integers(1, 9, (*lead, D, T)).astype(np.int32),
    step_lengths=lengths.integers(1, T + 1, (*lead, D)).astype(np.int32),
    legal=t < n[..., None],
    rewards=((t == n[..., None] - 1) & solved[..., None]).astype(np.float32),
    candidates=rng.integers(1, 9, (*lead, D, J, T)).astype(np.int32),
    candidate_lengths=lengths.integers(1, T + 1, (*lead, D, J)).astype(
      np.int32
    ),
    weights=weights,
    on_solution=(rng.random((*lead, D)) < 0.5) & (t < n[..., None]),
    root_values=rng.random((*lead, D)).astype(np.float32),
    mask=(rng.random((*lead, D)) < 0.7) & (t <= n[..., None]),
    num_steps=n,
    solved=solved,
  )
  return episodes, rng.random(lead) < 0.7
