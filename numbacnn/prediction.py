"""What a model says of images: outputs become labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data.arrays import as_data
from .data.decode import decode
from .errors import ConfigError, UnknownNameError
from .metrics.thresholds import best_thresholds
from .train import multi_label


@dataclass(frozen=True)
class Prediction:
    """What `classify` says of one image: the most probable label, and `top`, the first k as (label, probability).

    labels: of a model that gives an image any number of labels, those above their thresholds as (label, probability), the most
    probable first, perhaps none; None for a model that gives one label.
    """

    path: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    labels: tuple[tuple[str, float], ...] | None = None


def prediction(path: Any, scores: np.ndarray, names: Sequence[str], top: int, thresholds: Sequence[float] | None) -> Prediction:
    """From one row of probabilities, one for each name. thresholds: None for one label an image."""
    order = np.argsort(-scores, kind="stable")
    ranked = tuple((names[i], float(scores[i])) for i in order)
    labels = None
    if thresholds is not None:
        above = scores > np.asarray(thresholds, np.float64)
        labels = tuple(pair for i, pair in zip(order, ranked, strict=True) if above[i])
    return Prediction(str(path), *ranked[0], ranked[: max(1, top)], labels)


def checked_thresholds(value: Any, names: Sequence[str]) -> tuple[float, ...]:
    """One threshold for each name: from one number for all, one a name, or a dict by name (0.5 for the others).

    Raises ConfigError for what is no such thing, UnknownNameError for a name that the model does not have.
    """
    if isinstance(value, dict):
        if unknown := [name for name in value if name not in names]:
            raise UnknownNameError("label in thresholds", unknown[0], names)
        value = [value.get(name, 0.5) for name in names]
    try:
        numbers = np.broadcast_to(np.asarray(value, np.float64), (len(names),)).tolist()
    except (ValueError, TypeError):
        numbers = []
    if len(numbers) != len(names) or not all(0 <= number <= 1 for number in numbers):
        shown = ", ".join(names[:5]) + " …" * (len(names) > 5)
        raise ConfigError(f"thresholds={value!r}: give one number from 0 to 1, one for each of the {len(names)} labels ({shown}), or a dict by label")
    return tuple(numbers)


class Labelling:
    """The part of Model that names what is on images. It uses the model's network, session, outputs, classes and preprocessing."""

    @property
    def link(self) -> str | None:
        """What makes probabilities of the first output: "softmax", "sigmoid" or None, by the model's last layer or else its loss."""
        loss = self._session.losses[0] if self._session else None
        return self.network.links[0] or (loss.link if loss else None)

    @property
    def task(self) -> str | None:
        """single_label: one label an image; multi_label: any number of labels; None: neither is known."""
        several = self._task or ("single_label" if self._binary else "multi_label")
        return {"softmax": "single_label", "sigmoid": several}.get(self.link, self._task)

    @property
    def _binary(self) -> bool:
        """Whether one value decides between two classes."""
        return self._outputs[0].shape == (1,) and len(self.classes or ()) == 2

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each value of the first output: the classes, else "0", "1", …"""
        units = (self._outputs[0].shape or (1,))[-1]
        return self.classes if self.classes and len(self.classes) == units else tuple(map(str, range(units or 0)))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Where a label is one of several, it is given above its threshold: one number from 0 to 1 for each label, 0.5 unless chosen.

        May be set to one number for all, one for each label, a dict {label: threshold}, or None.
        """
        return self._thresholds or (0.5,) * len(self.labels)

    @thresholds.setter
    def thresholds(self, value: Any) -> None:
        self._thresholds = None if value is None else checked_thresholds(value, self.labels)

    def choose_thresholds(self, x: Any, y: Any = None, batch_size: int = 32) -> tuple[float, ...]:
        """Set `thresholds` to those with the best F1 for each label on arrays, a dataset or batches, and return them.

        Choose them on validation data: those of training make the model look better than it is.
        """
        if self.task != "multi_label":
            raise ConfigError("thresholds go with several labels an image: compile the model with loss='binary_cross_entropy' and train it on such data")
        true, scores, _ = multi_label.measure(self, as_data(self._see(x), y, batch_size=batch_size))
        self.thresholds = best_thresholds(true, scores)
        return self.thresholds

    def probabilities(self, output: np.ndarray) -> np.ndarray:
        """The model's output as probabilities: where it ends in no softmax or sigmoid, the loss' own is applied."""
        if self.network.links[0] or self._session is None or self._session.losses[0] is None or not self._session.losses[0].link:
            return output
        return self._session.losses[0].activate(output)

    def classify(self, paths: Any, top: int = 5, batch_size: int = 32, threshold: Any = None) -> list[Prediction]:
        """Predictions for image files: decoded, resized and normalized as in training.

        paths: files or open images' paths, in order. threshold: in place of the model's `thresholds`, where an image may have
        several labels. Raises DataError naming the first file that is no image.
        """
        paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
        if self.preprocess is None:
            raise ConfigError("the model carries no preprocessing: train it on nn.image_folder(…), or set model.preprocess = nn.Preprocess(size=(h, w), …)")
        if self.network.links[0] is None and self._session is None:
            raise ConfigError("the model's outputs are logits and it is not compiled: compile it with its loss, so that classify knows softmax from sigmoid")
        if threshold is not None and self.task != "multi_label":
            raise ConfigError(f"threshold={threshold!r} goes with several labels an image; this model gives one")
        thresholds = self.thresholds if threshold is None else checked_thresholds(threshold, self.labels)
        predictions: list[Prediction] = []
        for at in range(0, len(paths), batch_size):
            chunk = paths[at : at + batch_size]
            pixels = np.stack([decode(p, self.preprocess) for p in chunk])
            scores = self.probabilities(self.predict(self.preprocess.apply(pixels), batch_size))
            predictions.extend(self._prediction(p, row, top, thresholds) for p, row in zip(chunk, scores, strict=True))
        return predictions

    def _prediction(self, path: Any, scores: np.ndarray, top: int, thresholds: tuple[float, ...]) -> Prediction:
        if scores.ndim != 1:
            raise ConfigError(f"classify needs one row of scores an image; the model's output has shape {scores.shape}")
        if self._binary:  # one value decides between two classes
            return prediction(path, np.array([1 - scores[0], scores[0]]), self.classes, top, None)
        return prediction(path, scores, self.classes or self.labels, top, thresholds if self.task == "multi_label" else None)
