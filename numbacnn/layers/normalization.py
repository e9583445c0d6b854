"""Brings inputs to mean 0 and variance 1, channel by channel."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import kernel, prange
from ..kernels.normalize import scale_and_shift
from ..layer import Layer, Weight, option

_SMALLEST = 1e-7  # of a standard deviation that is divided by


@kernel(parallel=False)
def normalization_scale(variance, smallest, scale):
    for c in prange(scale.size):
        scale[c] = 1 / max(math.sqrt(variance[c]), smallest)


@kernel(parallel=False)
def normalization_shift(mean, scale, shift):
    for c in prange(shift.size):
        shift[c] = -mean[c] * scale[c]


@kernel(parallel=False)
def normalization_deviation(variance, smallest, deviation):
    for c in prange(deviation.size):
        deviation[c] = max(math.sqrt(variance[c]), smallest)


@dataclass(frozen=True)
class Normalization(Layer):
    """y = (x - mean) / max(sqrt(variance), 1e-7); with `invert`, y = x * max(sqrt(variance), 1e-7) + mean.

    mean, variance   both given: one number, or one a channel. Neither: the layer has weights mean (C,), variance (C,) and
                     count (), which `model.adapt(data)` sets and training leaves alone.

    Shapes: (N, ..., C) -> the same.
    Raises ConfigError where only one of the two is given or a variance is negative, ShapeError for an axis other than the last
    or for numbers that do not fit the channels.
    """

    axis: int = option(-1, draw=False)
    mean: float | tuple[float, ...] | None = option(None, draw=False)
    variance: float | tuple[float, ...] | None = option(None, draw=False)
    invert: bool = option(False)

    takes_clamp = True

    def __post_init__(self):
        if (self.mean is None) != (self.variance is None):
            raise ConfigError(f"Normalization: mean={self.mean!r} and variance={self.variance!r} must be given both, or neither")
        for name in ("mean", "variance"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(map(float, value)) if np.ndim(value) else float(value))
        if self.variance is not None and not np.all(np.asarray(self.variance) >= 0):
            raise ConfigError(f"Normalization: variance={self.variance!r} must not be negative")

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in (-1, len(x)):
            raise ShapeError(f"axis={self.axis} is not the last one, where the channels are: use axis=-1")
        if not x or x[-1] is None:
            raise ShapeError("the number of channels (the last axis) must be known")
        for name in ("mean", "variance"):
            if isinstance(value := getattr(self, name), tuple) and len(value) != x[-1]:
                raise ShapeError(f"{name} has {len(value)} values for {x[-1]} channels")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        c = self.output_shape(x)[-1:]
        if self.mean is not None:
            return {}
        kept = {"trainable": False, "decay": False}
        return {"mean": Weight(c, **kept), "variance": Weight(c, "ones", **kept), "count": Weight((), **kept)}

    @staticmethod
    def statistics(data: np.ndarray) -> dict[str, np.ndarray]:
        """Values for the weights from data (N, ..., C): mean and variance of each channel in float64, and the number of places."""
        rows = np.asarray(data, np.float64).reshape(-1, np.shape(data)[-1])
        return {"mean": rows.mean(0), "variance": rows.var(0), "count": np.float64(len(rows))}

    def _mean_scale(self, step: Any) -> tuple[Any, Any]:
        """Buffers (mean, what the centred input is multiplied by; with `invert`, the deviation)."""
        c = step.shape[-1]
        if self.mean is not None:
            deviation = np.maximum(np.sqrt(np.broadcast_to(self.variance, (c,))), _SMALLEST)
            return step.constant(np.broadcast_to(self.mean, (c,))), step.constant(deviation if self.invert else 1 / deviation)
        make = normalization_deviation if self.invert else normalization_scale
        return step.w.mean, step.run(make, step.w.variance, _SMALLEST, out=step.new(c))

    def affine(self, step: Any) -> tuple:
        mean, scale = self._mean_scale(step)
        return scale, mean if self.invert else step.run(normalization_shift, mean, scale, out=step.new(step.shape[-1]))

    def forward(self, step: Any) -> tuple:
        mean, scale = self._mean_scale(step)
        centre, shift = (None, mean) if self.invert else (mean, None)
        scale_and_shift(step, step.x, scale, shift, step.y, step.clamp, centre)
        return (scale,)

    def backward(self, step: Any, scale: Any) -> None:
        scale_and_shift(step, step.dy, scale, None, step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (5, 4, 3)
        yield cls(axis=1), (7,)
        yield cls(mean=0.5, variance=4.0), (1, 1, 5)
        yield cls(mean=(0.5, -1.0, 2.0), variance=(4.0, 0.0625, 1.0)), (3, 5, 3)
        yield cls(mean=(0.5, -1.0), variance=2.0, invert=True), (3, 7, 2)
        yield cls(invert=True), (6, 5)
