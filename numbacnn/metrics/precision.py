"""How much of what was said is true."""

from dataclasses import dataclass

import numpy as np

from .base import Confusion


@dataclass(frozen=True)
class Precision(Confusion):
    """Share of right decisions among those for a class: true positives / (true + false positives)."""

    def ratio(self, right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return right, right + wrong
