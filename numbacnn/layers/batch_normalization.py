"""Normalizes each channel with the batch's statistics; at rest, with those that it kept."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import kernel, prange
from ..kernels.normalize import normalize, scale_and_shift
from ..kernels.normalize_backward import normalize_backward
from ..layer import Initial, Layer, Penalty, Weight, option, positive


@kernel(parallel=False)
def update_moving(mean, variance, momentum, moving_mean, moving_variance):
    """moving = moving * momentum + batch * (1 - momentum)."""
    one = mean.dtype.type(1)
    for c in prange(moving_mean.size):
        moving_mean[c] += (mean[0, c] - moving_mean[c]) * (one - momentum)
        moving_variance[c] += (variance[0, c] - moving_variance[c]) * (one - momentum)


@kernel(parallel=False, wide=True)
def resting_scale(gamma, variance, epsilon, scale):
    for c in prange(scale.size):
        scale[c] = gamma[c] / math.sqrt(np.float64(variance[c]) + epsilon)


@kernel(parallel=False)
def resting_shift(beta, mean, scale, shift):
    for c in prange(shift.size):
        shift[c] = beta[c] - mean[c] * scale[c]


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and biased variance of each channel over the batch.

    Shapes: (N, ..., C) -> the same.  Weights (C,): gamma, beta, moving_mean, moving_variance (gamma and beta where `scale` and
    `center` ask for them); the moving statistics follow the batch's with `momentum` and take their place when the layer rests.
    Raises ConfigError for a momentum outside 0..1 or an epsilon that is not positive, ShapeError for an axis other than the last.
    Reference: Ioffe and Szegedy, Batch normalization, 2015.
    """

    axis: int = option(-1, draw=False)
    momentum: float = option(0.99, low=0.0, high=1.0)
    epsilon: float = option(1e-3, low=1e-3, high=1e-1)
    center: bool = option(True)
    scale: bool = option(True)
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    moving_mean_initializer: Initial = "zeros"
    moving_variance_initializer: Initial = "ones"
    beta_regularizer: Penalty = None
    gamma_regularizer: Penalty = None

    takes_moments = True
    takes_residual = True
    takes_clamp = True
    takes_folded_gradient = True

    def __post_init__(self):
        positive(self, "epsilon", low=1e-12)
        if not 0 <= self.momentum <= 1:
            raise ConfigError(f"BatchNormalization: momentum={self.momentum!r} must be between 0 and 1")

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in (-1, len(x)):
            raise ShapeError(f"axis={self.axis} is not the last one, where the channels are: use axis=-1")
        if not x or x[-1] is None:
            raise ShapeError("the number of channels (the last axis) must be known")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        c = self.output_shape(x)[-1:]
        return {
            **({"gamma": Weight(c, self.gamma_initializer, regularizer=self.gamma_regularizer)} if self.scale else {}),
            **({"beta": Weight(c, self.beta_initializer, regularizer=self.beta_regularizer)} if self.center else {}),
            "moving_mean": Weight(c, self.moving_mean_initializer, trainable=False),
            "moving_variance": Weight(c, self.moving_variance_initializer, trainable=False),
        }

    def inference(self) -> Layer:
        return RestingBatchNormalization(**{f.name: getattr(self, f.name) for f in fields(self)})

    def gamma_beta(self, step: Any) -> tuple[Any, Any]:
        """The weights, or the constants that stand for absent ones."""
        c = step.shape[-1]
        return step.w.gamma if self.scale else step.constant(np.ones(c)), step.w.beta if self.center else step.constant(np.zeros(c))

    def forward(self, step: Any) -> tuple:
        mean, variance, scale = normalize(step, 1, step.shape[-1], *self.gamma_beta(step), self.epsilon, step.x_moments)
        step.run(update_moving, mean, variance, self.momentum, out=(step.w.moving_mean, step.w.moving_variance))
        return mean, variance, scale

    def backward(self, step: Any, *statistics: Any) -> None:
        c = step.shape[-1]
        dgamma, dbeta = step.dw.gamma if self.scale else step.new(c), step.dw.beta if self.center else step.new(c)
        normalize_backward(step, 1, c, *self.gamma_beta(step), *statistics, self.epsilon, dgamma, dbeta)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (5, 4, 3)
        yield cls(axis=1, momentum=0.5), (7,)
        yield cls(center=False, epsilon=1e-2), (1, 1, 5)
        yield cls(scale=False, beta_initializer="ones", beta_regularizer="l2"), (7, 5, 4)
        yield cls(center=False, scale=False, moving_mean_initializer="ones"), (6, 9)
        yield cls(gamma_initializer="zeros", moving_variance_initializer="zeros", gamma_regularizer="l1"), (3, 3, 17)


@dataclass(frozen=True)
class RestingBatchNormalization(BatchNormalization):
    """A batch normalization whose weights rest: a scale and a shift for each channel, from the moving statistics."""

    takes_moments = False
    takes_folded_gradient = False

    def inference(self) -> Layer:
        return self

    def _scale(self, step: Any) -> Any:
        return step.run(resting_scale, self.gamma_beta(step)[0], step.w.moving_variance, self.epsilon, out=step.new(step.shape[-1]))

    def affine(self, step: Any) -> tuple:
        scale = self._scale(step)
        return scale, step.run(resting_shift, self.gamma_beta(step)[1], step.w.moving_mean, scale, out=step.new(step.shape[-1]))

    def forward(self, step: Any) -> tuple:
        scale = self._scale(step)
        scale_and_shift(step, step.x, scale, self.gamma_beta(step)[1], step.y, step.clamp, step.w.moving_mean, step.residual)
        return (scale,)

    def backward(self, step: Any, scale: Any) -> None:
        scale_and_shift(step, step.dy, scale, None, step.dx)
