"""Cross-entropy that looks away from what is easy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError
from ..graph import Shape
from ..jit import compiled, kernel, prange
from ..kernels.scalar import expm1, sigmoid, softplus
from ..layer import choice, option, positive
from . import on_gpu
from .base import Loss
from .binary_cross_entropy import SigmoidLoss
from .cross_entropy import SoftmaxLoss, largest_and_log_sum


@kernel
def softmax_focal(z, t, gamma, alpha, y):
    for r in prange(z.shape[0]):
        top, log_sum = largest_and_log_sum(z[r])
        total = 0.0
        for c in range(z.shape[1]):
            log_p = z[r, c] - top - log_sum
            total -= alpha * t[r, c] * (-expm1(log_p)) ** gamma * log_p
        y[r] = total


@compiled
def focal_slope(log_p, gamma):
    """Derivative of -(1 - p)^gamma log p by log p."""
    rest = -expm1(log_p)
    ratio = log_p / rest if rest > 0.0 else -1.0
    return rest**gamma * (gamma * (1.0 - rest) * ratio - 1.0)


@kernel
def softmax_focal_gradient(z, t, share, scale, gamma, alpha, dz):
    rows, classes = z.shape[0] // share.size, z.shape[1]
    for r in prange(z.shape[0]):
        top, log_sum = largest_and_log_sum(z[r])
        factor = share[r // rows] * scale * alpha
        total = 0.0
        for c in range(classes):
            total += t[r, c] * focal_slope(z[r, c] - top - log_sum, gamma)
        for c in range(classes):
            log_p = z[r, c] - top - log_sum
            dz[r, c] = factor * (t[r, c] * focal_slope(log_p, gamma) - (expm1(log_p) + 1.0) * total)


@kernel
def sigmoid_focal(z, t, gamma, positive, negative, y):
    for r in prange(z.shape[0]):
        total = 0.0
        for c in range(z.shape[1]):
            v = z[r, c]
            total += positive * t[r, c] * sigmoid(-v) ** gamma * softplus(-v) + negative * (1.0 - t[r, c]) * sigmoid(v) ** gamma * softplus(v)
        y[r] = total


@compiled
def binary_slope(z, gamma):
    """Derivative of (1 - p)^gamma -log p by z, with p = sigmoid(z)."""
    rest = sigmoid(-z)
    return -(rest**gamma) * (gamma * sigmoid(z) * softplus(-z) + rest)


@kernel
def sigmoid_focal_gradient(z, t, share, scale, gamma, positive, negative, dz):
    rows = z.shape[0] // share.size
    for r in prange(z.shape[0]):
        factor = share[r // rows] * scale
        for c in range(z.shape[1]):
            dz[r, c] = factor * (positive * t[r, c] * binary_slope(z[r, c], gamma) - negative * (1.0 - t[r, c]) * binary_slope(-z[r, c], gamma))


softmax_focal.cuda(on_gpu.softmax_focal, **on_gpu.geometry())
softmax_focal_gradient.cuda(on_gpu.softmax_focal_gradient, **on_gpu.geometry())
sigmoid_focal.cuda(on_gpu.sigmoid_focal, **on_gpu.geometry())
sigmoid_focal_gradient.cuda(on_gpu.sigmoid_focal_gradient, **on_gpu.geometry())


@dataclass(frozen=True)
class Focal(Loss):
    """Focal loss -alpha (1 - p)^gamma log p, p being the probability that the right answer gets; from logits.

    gamma: 0 is (alpha times) cross-entropy; the larger, the less easy samples count.
    alpha: single_label: a factor; multi_label: weight of positives, 1 - alpha that of negatives; None: no weights.
    task: "single_label" over the softmax, the mean over positions, targets as for cross_entropy; "multi_label" over
        independent sigmoids, the mean over all elements, targets as for binary_cross_entropy.
    Reference: Lin et al., Focal loss for dense object detection, 2017.
    """

    gamma: float = option(2.0, low=0.0, high=4.0)
    alpha: float | None = option(0.25, low=0.0, high=1.0)
    task: Literal["single_label", "multi_label"] = "single_label"

    def __post_init__(self):
        choice(self, "task", "single_label", "multi_label")
        positive(self, "gamma", low=0)
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise ConfigError(f"{type(self).__name__}: alpha={self.alpha!r} must be None or from 0 to 1")

    @property
    def _kind(self) -> Loss:
        """The loss that has the same link, targets and mean."""
        return SoftmaxLoss(name=self.name or type(self).__name__) if self.task == "single_label" else SigmoidLoss(name=self.name or type(self).__name__)

    @property
    def link(self) -> str:
        return self._kind.link

    def output_shape(self, prediction: Shape, target: Shape) -> Shape:
        return self._kind.output_shape(prediction, target)

    def terms(self, shape: Shape) -> int:
        return self._kind.terms(shape)

    def target(self, y: Any, shape: Shape) -> np.ndarray:
        return self._kind.target(y, shape)

    def kernels(self, step: Any) -> tuple:
        return (softmax_focal, softmax_focal_gradient) if self.task == "single_label" else (sigmoid_focal, sigmoid_focal_gradient)

    def arguments(self, step: Any) -> tuple:
        alpha = 1.0 if self.alpha is None else float(self.alpha)
        if self.task == "single_label":
            return float(self.gamma), alpha
        return float(self.gamma), alpha, 1.0 if self.alpha is None else 1 - alpha

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (5,)
        yield cls(0.0, None), (3,)
        yield cls(0.5, 0.7), (2, 2, 3)
        yield cls(task="multi_label"), (1,)
        yield cls(0.0, None, "multi_label"), (5,)
        yield cls(0.5, 0.7, "multi_label"), (2, 3, 2)
