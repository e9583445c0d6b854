"""The share of right answers."""

from dataclasses import dataclass

import numpy as np

from .base import Metric, check_threshold, columns, decisions, one_right_class


@dataclass(frozen=True)
class Accuracy(Metric):
    """Share of samples whose largest output is the right class; for independent labels, share of right yes-or-no decisions.

    threshold: above it an independent label is a yes.
    """

    threshold: float = 0.5

    def __post_init__(self):
        check_threshold(self)

    def count(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None) -> np.ndarray:
        """(2,): weight of what is right, weight of all."""
        target, prediction, weight = columns(target, prediction, weight)
        if one_right_class(prediction, link):
            right = target.argmax(1) == prediction.argmax(1)
        else:
            right = np.equal(*decisions(target, prediction, link, self.threshold)).mean(1)
        return np.array([weight @ right, weight.sum()])

    def result(self, sums: np.ndarray) -> float:
        return float(sums[0] / sums[1]) if sums[1] else 0.0
