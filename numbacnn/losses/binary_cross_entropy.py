"""One yes-or-no question an output."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import kernel, prange
from ..kernels.scalar import sigmoid, softplus
from ..layer import option
from . import on_gpu
from .base import Loss, are_labels, numbers, one_hot, values


@kernel
def binary_cross_entropy(z, t, pos_weight, smoothing, y):
    for r in prange(z.shape[0]):
        total = 0.0
        for c in range(z.shape[1]):
            yes = t[r, c] * (1.0 - smoothing) + 0.5 * smoothing
            total += pos_weight[c] * yes * softplus(-z[r, c]) + (1.0 - yes) * softplus(z[r, c])
        y[r] = total


@kernel
def binary_cross_entropy_gradient(z, t, share, scale, pos_weight, smoothing, dz):
    rows = z.shape[0] // share.size
    for r in prange(z.shape[0]):
        factor = share[r // rows] * scale
        for c in range(z.shape[1]):
            yes = t[r, c] * (1.0 - smoothing) + 0.5 * smoothing
            dz[r, c] = factor * ((1.0 - yes) * sigmoid(z[r, c]) - pos_weight[c] * yes * sigmoid(-z[r, c]))


binary_cross_entropy.cuda(on_gpu.binary_cross_entropy, **on_gpu.geometry())
binary_cross_entropy_gradient.cuda(on_gpu.binary_cross_entropy_gradient, **on_gpu.geometry())


@dataclass(frozen=True)
class SigmoidLoss(Loss):
    """Base of losses over independent yes-or-no outputs: the mean over all elements, from logits.

    Targets: values from 0 to 1 shaped as the output, (N,) for a single output; labels (N,) of several classes become one-hot.
    """

    link = "sigmoid"

    def target(self, y: Any, shape: Shape) -> np.ndarray:
        y = numbers(self, y)
        return one_hot(self, y, shape) if are_labels(y, shape) else values(self, y, shape, 0, 1)


@dataclass(frozen=True)
class BinaryCrossEntropy(SigmoidLoss):
    """Cross-entropy between target and sigmoid(logits), for one output or several labels an image; the mean over all elements.

    label_smoothing: the target becomes target (1 - s) + s / 2.
    pos_weight: factor for the positive part, one number or one an output: above 1 finds more, below 1 is surer.
    Targets: 0 or 1 (or between) shaped as the output; labels (N,) of several classes become one-hot.
    """

    label_smoothing: float = option(0.0, low=0.0, high=0.9)
    pos_weight: float | tuple[float, ...] | None = option(None, draw=False)

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"BinaryCrossEntropy: label_smoothing={self.label_smoothing!r} must be at least 0 and below 1")
        if self.pos_weight is not None:
            single = isinstance(self.pos_weight, (int, float))
            factors = (float(self.pos_weight),) if single else tuple(map(float, self.pos_weight))
            if not all(0 <= w < math.inf for w in factors):
                raise ConfigError(f"BinaryCrossEntropy: pos_weight={self.pos_weight!r} must be finite and at least 0")
            object.__setattr__(self, "pos_weight", factors[0] if single else factors)

    def output_shape(self, prediction: Shape, target: Shape) -> Shape:
        if isinstance(self.pos_weight, tuple) and len(self.pos_weight) != prediction[-1]:
            raise ShapeError(f"pos_weight has {len(self.pos_weight)} factors for {prediction[-1]} outputs")
        return super().output_shape(prediction, target)

    def kernels(self, step: Any) -> tuple:
        return binary_cross_entropy, binary_cross_entropy_gradient

    def arguments(self, step: Any) -> tuple:
        factors = np.broadcast_to(1.0 if self.pos_weight is None else np.array(self.pos_weight, float), step.x.shape[-1:])
        return step.constant(factors), float(self.label_smoothing)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1,)
        yield cls(0.1, 3.0), (5,)
        yield cls(0.0, (0.5, 2.0, 1.0)), (2, 3, 3)
