"""The contract of a metric: what one batch says, what batches say together, and one number from all of them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import ConfigError


@dataclass(frozen=True)
class Metric:
    """Base of all metrics; a frozen dataclass, its fields are its options.

    target and prediction are dense, (N, C) or (N, H, W, C) (then every position counts): probabilities or values.
    weight (N,) is what each sample counts. link says what the probabilities are: "softmax", one right class; "sigmoid",
    independent labels; None, plain values, where several columns are taken as one right class. A single column is always yes or no.

    Most metrics follow from sums: then `count` and `result` are all there is. One that needs more (the order of all scores, say)
    overrides `add`, and is measured by evaluation only, not while training goes on (`in_training`): between two batches its result
    must cost nothing, and what it has gathered must fit into the checkpoint of an interrupted epoch.
    """

    label: ClassVar[str] = ""
    in_training: ClassVar[bool] = True  # False: no train_<name> column

    @property
    def name(self) -> str:
        """What history columns call it."""
        return self.label or type(self).__name__.lower()

    def count(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None) -> np.ndarray:
        """float64 sums over one batch; those of all batches are added up."""
        raise NotImplementedError(f"{type(self).__name__} has no count")

    def add(self, sums: Any, counted: np.ndarray) -> Any:
        """What the batches so far (None: there were none) and one more say together, without changing `sums`."""
        return counted if sums is None else sums + counted

    def result(self, sums: Any) -> float:
        """The metric from what `add` made of all batches."""
        raise NotImplementedError(f"{type(self).__name__} has no result")


def columns(target: np.ndarray, prediction: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, C) views of target and prediction, and each row's weight in float64."""
    target, prediction = np.asarray(target), np.asarray(prediction)
    classes = prediction.shape[-1] if prediction.ndim > 1 else 1
    target, prediction = target.reshape(-1, classes), prediction.reshape(-1, classes)
    weight = np.asarray(weight, np.float64)
    return target, prediction, np.repeat(weight, len(prediction) // max(len(weight), 1))


def one_right_class(prediction: np.ndarray, link: str | None) -> bool:
    """Whether exactly one of several columns is right, rather than each for itself."""
    return link != "sigmoid" and prediction.shape[1] > 1


def decisions(target: np.ndarray, prediction: np.ndarray, link: str | None, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """What is true and what was said, as booleans (rows, C): the largest column, or every column above the threshold."""
    if one_right_class(prediction, link):
        classes = np.arange(prediction.shape[1])
        return target.argmax(1)[:, None] == classes, prediction.argmax(1)[:, None] == classes
    return target > 0.5, prediction > threshold


def check_threshold(metric: Metric) -> None:
    """For __post_init__."""
    if not 0 <= metric.threshold <= 1:
        raise ConfigError(f"{type(metric).__name__}: threshold={metric.threshold!r} must be from 0 to 1")


@dataclass(frozen=True)
class Confusion(Metric):
    """Base of metrics from each class's right, wrong and missed decisions.

    threshold: for independent labels and single columns (one right class: the largest column).
    average: "macro", the mean over classes, or "micro", all decisions together. 0/0 is 0.
    """

    threshold: float = 0.5
    average: Literal["macro", "micro"] = "macro"

    def __post_init__(self):
        check_threshold(self)
        if self.average not in ("macro", "micro"):
            raise ConfigError(f"{type(self).__name__}: average={self.average!r} must be 'macro' or 'micro'")

    def count(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray, link: str | None) -> np.ndarray:
        """(3, C): true positives, false positives, false negatives."""
        target, prediction, weight = columns(target, prediction, weight)
        true, said = decisions(target, prediction, link, self.threshold)
        return np.stack([weight @ (true & said), weight @ (said & ~true), weight @ (true & ~said)])

    def ratio(self, right: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(numerator, denominator) for each class."""
        raise NotImplementedError(f"{type(self).__name__} has no ratio")

    def each(self, sums: np.ndarray) -> np.ndarray:
        """(C,): the metric of each class by itself."""
        above, below = self.ratio(*np.asarray(sums, np.float64))
        return np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    def result(self, sums: np.ndarray) -> float:
        sums = np.asarray(sums, np.float64)
        return float(self.each(sums.sum(1, keepdims=True) if self.average == "micro" else sums).mean())
