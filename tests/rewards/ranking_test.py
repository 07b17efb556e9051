import numpy as np
import pytest

from alphallm.rewards import ranking


def test_auc_counts_pairs():
  rng = np.random.default_rng(0)
  scores, labels = rng.integers(0, 5, 40), rng.random(40) < 0.4
  pairs = [
    (a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]
  ]
  np.testing.assert_allclose(ranking.auc(scores, labels), np.mean(pairs))
  with pytest.raises(ValueError, match="wrong ones"):
    ranking.auc(scores, np.ones(40, bool))


def test_the_first_step_below_the_threshold_is_said_to_be_wrong():
  steps = np.array([[0.9, 0.4, 0.1], [0.9, 0.8, 0.0], [0.2, 0.9, 0.9]])
  found = ranking.found_first_error(
    steps, np.array([3, 2, 3]), np.array([1, 1, 1])
  )
  assert found == pytest.approx(2 / 3)
