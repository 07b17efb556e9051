"""Random examples, and what the fake model says of them, in float64."""

import fake_model
import numpy as np

from alphallm.learning import replay

V, B, J, T, C = 9, 3, 4, 3, 12
PARAMS = fake_model.init_params(V, seed=1, max_positions=C + T)


def some_batch(num_states=4, seed=0):
  """Return random examples; steps are 1 to T tokens long."""
  rng = np.random.default_rng(seed)
  shape = (B, num_states)
  lengths = rng.integers(1, T + 1, (*shape, J))
  candidates = rng.integers(0, V, (*shape, J, T))  # 0 is a token like any
  candidates[np.arange(T) >= lengths[..., None]] = 0
  weights = rng.dirichlet(np.ones(J), shape)
  weights[0, 0] = 0  # a state that teaches its value alone
  mask = np.ones(shape)
  mask[0, -1] = 0  # a state that is held out
  weights[0, -1] = 0
  return replay.Example(
    context=rng.integers(1, V, (B, C)).astype(np.int32),
    ends=rng.integers(1, C + 1, shape).astype(np.int32),
    candidates=candidates.astype(np.int32),
    lengths=lengths.astype(np.int32),
    weights=weights.astype(np.float32),
    values=rng.random(shape).astype(np.float32),
    mask=mask.astype(np.float32),
  )


def reference_scores(params, batch):
  """Return log-probabilities and values, one plain pass each, in float64."""
  log_probs = np.zeros(batch.candidates.shape[:3])
  values = np.zeros(batch.ends.shape)
  for b, s in np.ndindex(*batch.ends.shape):
    context = batch.context[b, : batch.ends[b, s]].tolist()
    values[b, s] = fake_model.reference(params, context)[1]
    for j, step in enumerate(batch.candidates[b, s]):
      log_probs[b, s, j] = fake_model.log_prob(
        params, context, step[: batch.lengths[b, s, j]].tolist()
      )
  return log_probs, values
