"""How much of what is true was said."""

from dataclasses import dataclass

import numpy as np

from .base import Confusion


@dataclass(frozen=True)
class Recall(Confusion):
    """Share of a class's samples that were found: true positives / (true positives + false negatives)."""

    def ratio(self, right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return right, right + missed
