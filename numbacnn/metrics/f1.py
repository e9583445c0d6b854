"""Precision and recall in one number."""

from dataclasses import dataclass

import numpy as np

from .base import Confusion


@dataclass(frozen=True)
class F1(Confusion):
    """Harmonic mean of precision and recall: 2 true positives / (2 true positives + false positives + false negatives)."""

    def ratio(self, right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2 * right, 2 * right + wrong + missed
