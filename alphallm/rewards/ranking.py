"""How well scores tell right from wrong; in NumPy, on the host."""

import numpy as np


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
  """Return how likely a right one scores above a wrong one, ties half.

  The area under the ROC curve, by ranks (Mann and Whitney, 1947).

  Args:
    scores: `[n]`.
    labels: `[n]` bool.

  Raises:
    ValueError: if all are right, or all are wrong.
  """
  scores, labels = np.asarray(scores, np.float64), np.asarray(labels, bool)
  right, wrong = labels.sum(), (~labels).sum()
  if not right or not wrong:
    raise ValueError("an AUC needs right ones and wrong ones")
  _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
  # Ranks from 1; equal scores share the mean of theirs.
  ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
  above = ranks[labels].sum() - right * (right + 1) / 2
  return float(above / (right * wrong))


def found_first_error(
  steps: np.ndarray,
  num_steps: np.ndarray,
  first_wrong: np.ndarray,
  threshold: float = 0.5,
) -> float:
  """Return in what share of wrong solutions the first wrong step is found.

  A model says that it is the first whose score is below the threshold, and if
  there is none the lowest.

  Args:
    steps: `[n, D]`, scores.
    num_steps: `[n]` int32, at least 1.
    first_wrong: `[n]` int32, its true index.
    threshold: of a score that is right.
  """
  places = np.arange(steps.shape[1])[None]
  is_step = places < num_steps[:, None]
  below = is_step & (steps < threshold)
  lowest = np.argmin(np.where(is_step, steps, np.inf), axis=1)
  said = np.where(below.any(axis=1), below.argmax(axis=1), lowest)
  return float(np.mean(said == first_wrong))


def threshold(scores: np.ndarray, labels: np.ndarray) -> float:
  """Return the score from which on most are told rightly.

  Args:
    scores: `[n]`, at least one.
    labels: `[n]` bool.
  """
  order = np.argsort(scores)
  scores, labels = np.asarray(scores)[order], np.asarray(labels, bool)[order]
  # Of the first i all are said to be wrong.
  told = np.concatenate([[0], np.cumsum(~labels)])
  told += labels.sum() - np.concatenate([[0], np.cumsum(labels)])
  cuts = np.concatenate([[-np.inf], (scores[1:] + scores[:-1]) / 2, [np.inf]])
  possible = np.concatenate([[True], scores[1:] > scores[:-1], [True]])
  return float(cuts[np.argmax(np.where(possible, told, -1))])
