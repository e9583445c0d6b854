"""How well scores put what is true before what is not, whatever the threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..errors import ConfigError
from .base import Metric, columns


@dataclass(frozen=True)
class AveragePrecision(Metric):
    """Area under the precision-recall curve: the mean of the precisions at each true sample, as scikit-learn's average_precision_score.

    Samples of equal score stand at one place of the curve; nothing is interpolated.
    average: "macro", the mean over classes, in which a class without a true sample counts 0, or "micro", all decisions together.
    It needs all scores in order, so it keeps them: 24 bytes a sample and class.
    """

    average: Literal["macro", "micro"] = "macro"
    label: ClassVar[str] = "average_precision"
    in_training: ClassVar[bool] = False

    def __post_init__(self):
        if self.average not in ("macro", "micro"):
            raise ConfigError(f"AveragePrecision: average={self.average!r} must be 'macro' or 'micro'")

    def count(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None) -> np.ndarray:
        """(3, rows, C): what is true, the scores, and the weights."""
        target, prediction, weight = columns(target, prediction, weight)
        return np.stack([target > 0.5, prediction, np.broadcast_to(weight[:, None], prediction.shape)]).astype(np.float64)

    def add(self, sums: list[np.ndarray] | None, counted: np.ndarray) -> list[np.ndarray]:
        return [*(sums or ()), counted]

    def gathered(self, sums: Sequence[np.ndarray]) -> np.ndarray:
        """(3, rows, C) of all batches."""
        return np.concatenate(sums, axis=1) if len(sums) else np.zeros((3, 0, 1))

    def each(self, sums: Sequence[np.ndarray]) -> np.ndarray:
        """(C,): the metric of each class by itself."""
        true, scores, weight = self.gathered(sums)
        return np.array([average_precision(true[:, c], scores[:, c], weight[:, c]) for c in range(true.shape[1])])

    def result(self, sums: Sequence[np.ndarray]) -> float:
        if self.average == "micro":
            return average_precision(*(part.reshape(-1) for part in self.gathered(sums)))
        return float(self.each(sums).mean())


def average_precision(true: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> float:
    """Of one class: true 0 or 1, scores and weights, all (N,). 0 where nothing is true."""
    if not (true * weight).any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of each run of equal scores
    hits, said = (np.cumsum(part[order])[last] for part in (true * weight, weight))
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    return float(np.diff(hits, prepend=0) @ precision / hits[-1])
