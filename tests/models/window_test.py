import numpy as np
import pytest

from alphallm.models import attention, window


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9, 30])
def test_narrow_counts_the_tokens_that_are_seen(width):
  b, k, s, rng = 2, 3, 4, np.random.default_rng(0)
  masks = [
    rng.random((b, 1, 1, 5)) < 0.6,
    np.zeros((b, 1, 1, 0), bool),
    rng.random((b, k, 1, 4)) < 0.6,
    rng.random((b, k, s, 3)) < 0.6,
  ]
  segments = [attention.Segment(kv=(), mask=mask) for mask in masks]
  narrowed = window.narrow(segments, s, width)
  whole = lambda masks, b, k, s: np.concatenate(
    [np.broadcast_to(m, (2, 3, 4, m.shape[-1]))[b, k, s] for m in masks]
  )
  for at in np.ndindex(b, k, s):
    seen = np.flatnonzero(whole(masks, *at))
    left = max(0, width - 1 - at[2])  # without the span's own tokens
    expected = seen[len(seen) - min(left, len(seen)) :]
    found = np.flatnonzero(whole([x.mask for x in narrowed], *at))
    np.testing.assert_array_equal(found, expected)
