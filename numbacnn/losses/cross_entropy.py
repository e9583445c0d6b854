"""-log of the probability of the right class."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, ShapeError
from ..graph import Shape
from ..jit import compiled, kernel, prange
from ..kernels.scalar import exp
from ..layer import option
from . import on_gpu
from .base import Loss, are_labels, numbers, one_hot, title, values


@compiled
def largest_and_log_sum(z):
    """(largest element, log of the sum of e^(z - largest)): stable for any logits."""
    top = z[0]
    for c in range(z.size):
        if z[c] > top:
            top = z[c]
    total = 0.0
    for c in range(z.size):
        total += exp(z[c] - top)
    return top, math.log(total)


@kernel
def cross_entropy(z, t, class_weight, smoothing, y):
    classes = z.shape[1]
    for r in prange(z.shape[0]):
        top, log_sum = largest_and_log_sum(z[r])
        total = weight = 0.0
        for c in range(classes):
            total += (t[r, c] * (1.0 - smoothing) + smoothing / classes) * (log_sum - (z[r, c] - top))
            weight += t[r, c] * class_weight[c]
        y[r] = total * weight


@kernel
def cross_entropy_gradient(z, t, share, scale, class_weight, smoothing, dz):
    rows, classes = z.shape[0] // share.size, z.shape[1]
    for r in prange(z.shape[0]):
        top, log_sum = largest_and_log_sum(z[r])
        mass = weight = 0.0
        for c in range(classes):
            mass += t[r, c] * (1.0 - smoothing) + smoothing / classes
            weight += t[r, c] * class_weight[c]
        weight *= share[r // rows] * scale
        shift = z.dtype.type(log_sum)
        for c in range(classes):
            dz[r, c] = weight * (mass * exp(z[r, c] - top - shift) - (t[r, c] * (1.0 - smoothing) + smoothing / classes))


cross_entropy.cuda(on_gpu.cross_entropy, **on_gpu.geometry())
cross_entropy_gradient.cuda(on_gpu.cross_entropy_gradient, **on_gpu.geometry())


@dataclass(frozen=True)
class SoftmaxLoss(Loss):
    """Base of losses over classes of which exactly one is right: the mean over positions, from logits.

    Targets: labels (N,) or (N, 1), for images of classes (N, H, W); or one probability a class, as the output, summing to 1.
    """

    link = "softmax"

    def output_shape(self, prediction: Shape, target: Shape) -> Shape:
        if not prediction or prediction[-1] < 2:
            raise ShapeError("it needs an output for each of two or more classes; for a single output use binary_cross_entropy")
        return super().output_shape(prediction, target)

    def terms(self, shape: Shape) -> int:
        return math.prod(shape[:-1])

    def target(self, y: Any, shape: Shape) -> np.ndarray:
        y = numbers(self, y)
        if are_labels(y, shape):
            return one_hot(self, y, shape)
        y = values(self, y, shape, 0, 1)
        off = np.abs(y.sum(-1) - 1) > 1e-3
        if off.any():
            place = tuple(map(int, np.argwhere(off)[0]))
            raise DataError(
                f"{title(self)}: the target {y.shape} sums to {y.sum(-1)[place]:g} at {place}, not to 1: for images that have several labels, or none, "
                "use binary_cross_entropy"
            )
        return y


@dataclass(frozen=True)
class CrossEntropy(SoftmaxLoss):
    """Cross-entropy between target and softmax(logits).

    label_smoothing: the target becomes target (1 - s) + s / classes (Szegedy et al., 2016).
    class_weight: one factor a class, for the loss of the samples of that class (a mixed target gets the mixed factor).
    Targets: labels (N,), (N, 1), (N, H, W), or probabilities shaped as the output, which sum to 1.
    """

    label_smoothing: float = option(0.0, low=0.0, high=0.9)
    class_weight: tuple[float, ...] | None = option(None, draw=False)

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"CrossEntropy: label_smoothing={self.label_smoothing!r} must be at least 0 and below 1")
        if self.class_weight is not None:
            factors = tuple(map(float, self.class_weight))
            if not all(0 <= w < math.inf for w in factors):
                raise ConfigError(f"CrossEntropy: class_weight={self.class_weight!r} must hold finite numbers of at least 0")
            object.__setattr__(self, "class_weight", factors)

    def output_shape(self, prediction: Shape, target: Shape) -> Shape:
        shape = super().output_shape(prediction, target)
        if self.class_weight is not None and len(self.class_weight) != prediction[-1]:
            raise ShapeError(f"class_weight has {len(self.class_weight)} factors for {prediction[-1]} classes")
        return shape

    def kernels(self, step: Any) -> tuple:
        return cross_entropy, cross_entropy_gradient

    def arguments(self, step: Any) -> tuple:
        factors = self.class_weight or (1.0,) * step.x.shape[-1]
        return step.constant(np.array(factors, float)), float(self.label_smoothing)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (5,)
        yield cls(0.1), (2,)
        yield cls(0.2, (0.5, 2.0, 1.0)), (2, 3, 3)
