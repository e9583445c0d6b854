"""The share of samples whose right class is among the likeliest few."""

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from .base import Metric, columns, one_right_class


@dataclass(frozen=True)
class TopK(Metric):
    """Share of samples whose right class (for independent labels: one of them) is among the `k` largest outputs.

    Of equal outputs the first counts as larger, so that k=1 is Accuracy. With k classes or fewer everything is right.
    """

    k: int = 5

    def __post_init__(self):
        if not isinstance(self.k, int) or self.k < 1:
            raise ConfigError(f"TopK: k={self.k!r} must be an integer of at least 1")

    @property
    def name(self) -> str:
        return f"top_{self.k}"

    def count(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None) -> np.ndarray:
        """(2,): weight of what is right, weight of all."""
        target, prediction, weight = columns(target, prediction, weight)
        best = np.argsort(-prediction, axis=1, kind="stable")[:, : self.k]
        true = target.argmax(1)[:, None] == np.arange(target.shape[1]) if one_right_class(prediction, link) else target > 0.5
        right = np.take_along_axis(true, best, 1).any(1)
        return np.array([weight @ right, weight.sum()])

    def result(self, sums: np.ndarray) -> float:
        return float(sums[0] / sums[1]) if sums[1] else 0.0
