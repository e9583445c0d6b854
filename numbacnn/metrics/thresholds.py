"""From which probability on a label is given."""

import numpy as np

DEFAULT = 0.5


def best_thresholds(true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(C,): for each label the threshold above which its F1 is best; true (N, C) 0 or 1, scores (N, C) from 0 to 1.

    A threshold lies in the middle between two scores. Of several that are equally good it is the one nearest to 0.5, which is
    also that of a label without a true sample.
    """
    return np.array([_best(true[:, c] > 0.5, np.asarray(scores[:, c], np.float64)) for c in range(scores.shape[1])])


def _best(true: np.ndarray, scores: np.ndarray) -> float:
    if not true.any():
        return DEFAULT
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # a threshold cannot part equal scores
    thresholds = (scores[last] + np.append(scores[last[1:]], 0)) / 2
    f1 = 2 * np.cumsum(true[order])[last] / (last + 1 + true.sum())
    possible = scores[last] > thresholds  # not where a score is 0: nothing lies below
    if not possible.any():
        return DEFAULT
    f1, thresholds = f1[possible], thresholds[possible]
    best = thresholds[f1 == f1.max()]
    return float(best[np.abs(best - DEFAULT).argmin()])
