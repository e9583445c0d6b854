"""Models that give an image any number of labels: how good each label is, and above which probability it is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..metrics.average_precision import AveragePrecision
from ..metrics.f1 import F1
from ..metrics.precision import Precision
from ..metrics.recall import Recall
from ..metrics.thresholds import best_thresholds
from .callbacks import Callback
from .goals import Totals


@dataclass(frozen=True)
class LabelReport:
    """How good one label is. precision, recall and f1 are those at its threshold, 0 where they are 0/0; count: images that have it."""

    label: str
    threshold: float
    precision: float
    recall: float
    f1: float
    average_precision: float
    count: int


class ChooseThresholds(Callback):
    """Callback: after each epoch the model's thresholds are those with the best F1 on its validation data.

    It stands before RunFolder, which saves them, and needs the metric average_precision.
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        if not any(isinstance(metric, AveragePrecision) for metric in self.model.session.metrics[0]):
            raise ConfigError("ChooseThresholds needs the probabilities that a metric keeps: compile the model with metrics=['average_precision', …]")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if "valid_loss" in (logs or {}) and (found := last_evaluation(self.model)) is not None:
            self.model.thresholds = best_thresholds(*found)


def measure(model: Any, data: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """(what is true, probabilities, mean loss) of the first output over a data set; both arrays (N, labels)."""
    totals, loss = Totals(), model.session.losses[0]
    true, scores = [], []
    for batch in data.epoch(0):
        scores.append(np.array(model.probabilities(model.session.evaluate(batch, totals)().outputs[0])))
        true.append(loss.target(batch[1], scores[-1].shape[1:]))
    return np.concatenate(true), np.concatenate(scores), float(model.session.logs(totals)["loss"])


def last_evaluation(model: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """(what is true, probabilities) as the metric average_precision kept them in the session's last evaluation; None where it did not."""
    session = model.session
    for metric, name in zip(session.metrics[0], session.names[0], strict=True):
        if isinstance(metric, AveragePrecision) and session.evaluated is not None and name in session.evaluated.counts:
            true, scores, _ = metric.gathered(session.evaluated.counts[name])
            return true, scores
    return None


def report(labels: Sequence[str], true: np.ndarray, scores: np.ndarray, thresholds: Sequence[float]) -> list[LabelReport]:
    """Each label by itself; true and scores (N, labels)."""
    weight = np.ones(len(true))
    sums = F1().count(true, scores > np.asarray(thresholds, np.float64), weight, "sigmoid")
    ranking = AveragePrecision()
    area = ranking.each([ranking.count(true, scores, weight, "sigmoid")])
    columns = (labels, thresholds, Precision().each(sums), Recall().each(sums), F1().each(sums), area, (true > 0.5).sum(0))
    return [LabelReport(label, *map(float, numbers), int(count)) for label, *numbers, count in zip(*columns, strict=True)]


def label_reports(model: Any) -> list[LabelReport]:
    """`report` of the session's last evaluation; empty where the model gives one label an image, or where nothing was kept."""
    found = last_evaluation(model) if model.task == "multi_label" else None
    return [] if found is None else report(model.labels, *found, model.thresholds)
