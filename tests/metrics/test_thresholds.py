"""The chosen thresholds give the best F1 that any threshold gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from numbacnn.metrics.thresholds import best_thresholds


def choose(true, scores):
    return best_thresholds(np.array(true, float)[:, None], np.array(scores, np.float32)[:, None]).item()


@pytest.mark.parametrize(
    ("true", "scores", "threshold"),
    [
        ([1, 1, 0, 0], [0.75, 0.625, 0.125, 0.0], 0.375),
        ([1, 0, 0, 0], [0.125, 0.0625, 0.0, 0.0], 0.09375),
        ([0, 1, 1, 1], [0.875, 0.75, 0.625, 0.25], 0.125),  # all are taken
        ([0, 0, 0], [0.9, 0.2, 0.1], 0.5),
        ([1, 0], [0.0, 0.0], 0.5),  # nothing lies below 0
        ([1, 1], [0.25, 0.25], 0.125),
        ([1, 0, 0, 1], [0.875, 0.75, 0.625, 0.5], 0.25),  # 0.8125 is as good, F1 2/3, but further from 0.5
    ],
)
def test_thresholds(true, scores, threshold):
    assert choose(true, scores) == threshold


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.125, 0.3, 0.5, 0.7, 0.9, 1.0])), min_size=1, max_size=25))
def test_no_threshold_is_better(samples):
    true, scores = np.array([t for t, _ in samples]), np.array([s for _, s in samples], np.float32)
    threshold = choose(true, scores)
    assert 0 <= threshold < 1
    best = max(f1_score(true, scores > t, zero_division=0) for t in (0.0, 0.06, 0.2, 0.4, 0.6, 0.8, 0.95))
    assert f1_score(true, scores > np.float64(threshold), zero_division=0) == pytest.approx(best, abs=1e-12)


def test_each_label_has_its_own():
    random = np.random.default_rng(0)
    true, scores = random.integers(0, 2, (40, 3)), random.random((40, 3)).astype(np.float32)
    assert best_thresholds(true, scores).tolist() == [choose(true[:, c], scores[:, c]) for c in range(3)]
