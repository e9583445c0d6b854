"""Normalizes the channels of each place by themselves."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..graph import Shape
from ..jit import compiled, kernel, prange
from ..kernels.gpu_layer_normalization import normalize_rows, rows_backward
from ..kernels.gpu_rows import THREADS, blocks_of
from ..kernels.reduce import fold
from ..layer import Initial, Layer, Penalty, Weight, option, positive

_ROWS = 8192  # elements that one job takes


@compiled
def _normalize_rows(x, gamma, beta, epsilon, y, mean, inverse):
    c = gamma.size
    zero, count = gamma.dtype.type(0), gamma.dtype.type(c)
    for r in range(mean.size):
        a, b = x[r * c : (r + 1) * c], y[r * c : (r + 1) * c]
        m = v = zero
        for j in range(c):
            m += a[j]
        m /= count
        for j in range(c):
            v += (a[j] - m) * (a[j] - m)
        mean[r] = m
        inverse[r] = 1.0 / math.sqrt(np.float64(v / count) + epsilon)
        s = inverse[r]
        for j in range(c):
            b[j] = (a[j] - m) * s * gamma[j] + beta[j]


@kernel(flat=True, wide=True)
def layer_forward(x, gamma, beta, epsilon, rows, y, mean, inverse):
    c = gamma.size
    for p in prange((mean.size + rows - 1) // rows):
        first, end = p * rows, min((p + 1) * rows, mean.size)
        _normalize_rows(x[first * c : end * c], gamma, beta, epsilon, y[first * c : end * c], mean[first:end], inverse[first:end])


@compiled
def _rows_backward(x, dy, gamma, mean, inverse, dx, dgamma, dbeta):
    c = gamma.size
    zero, count = gamma.dtype.type(0), gamma.dtype.type(c)
    for j in range(c):
        dgamma[j] = 0
        dbeta[j] = 0
    for r in range(mean.size):
        a, g, d = x[r * c : (r + 1) * c], dy[r * c : (r + 1) * c], dx[r * c : (r + 1) * c]
        m, s, total, product = mean[r], inverse[r], zero, zero
        for j in range(c):
            total += g[j] * gamma[j]
            product += g[j] * gamma[j] * (a[j] - m)
        for j in range(c):
            dgamma[j] += g[j] * (a[j] - m) * s
            dbeta[j] += g[j]
        total /= count
        product *= s * s / count
        for j in range(c):
            d[j] = s * (g[j] * gamma[j] - total - (a[j] - m) * product)


@kernel(flat=True)
def layer_backward(x, dy, gamma, mean, inverse, rows, dx, dgamma, dbeta):
    """dgamma, dbeta [jobs, channels]: each job's share."""
    c = gamma.size
    for p in prange((mean.size + rows - 1) // rows):
        first, end = p * rows, min((p + 1) * rows, mean.size)
        _rows_backward(
            x[first * c : end * c],
            dy[first * c : end * c],
            gamma,
            mean[first:end],
            inverse[first:end],
            dx[first * c : end * c],
            dgamma[p * c : (p + 1) * c],
            dbeta[p * c : (p + 1) * c],
        )


layer_forward.cuda(normalize_rows, threads=THREADS, blocks=lambda x, gamma, beta, epsilon, rows, y, mean, inverse: blocks_of(mean.size, gamma.size))
layer_backward.cuda(rows_backward, threads=THREADS, blocks=lambda *args: args[-1].size // args[2].size)  # dbeta, gamma


@dataclass(frozen=True)
class LayerNormalization(Layer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and variance over the channels of each place.

    Shapes: (N, ..., C) -> the same.  Weights (C,): gamma, beta, where `scale` and `center` ask for them.
    Raises ShapeError for an axis other than the last.  Reference: Ba, Kiros and Hinton, Layer normalization, 2016.
    """

    axis: int = option(-1, draw=False)
    epsilon: float = option(1e-3, low=1e-3, high=1e-1)
    center: bool = option(True)
    scale: bool = option(True)
    beta_initializer: Initial = "zeros"
    gamma_initializer: Initial = "ones"
    beta_regularizer: Penalty = None
    gamma_regularizer: Penalty = None

    def __post_init__(self):
        positive(self, "epsilon", low=1e-12)

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in (-1, len(x)):
            raise ShapeError(f"axis={self.axis} is not the last one, where the channels are: use axis=-1")
        if not x or x[-1] is None:
            raise ShapeError("the number of channels (the last axis) must be known")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        c = self.output_shape(x)[-1:]
        gamma = Weight(c, self.gamma_initializer, regularizer=self.gamma_regularizer)
        beta = Weight(c, self.beta_initializer, regularizer=self.beta_regularizer)
        return {**({"gamma": gamma} if self.scale else {}), **({"beta": beta} if self.center else {})}

    def forward(self, step: Any) -> tuple:
        c = step.shape[-1]
        places, rows = step.y.size // c, max(1, _ROWS // c)
        gamma, beta = step.w.gamma if self.scale else step.constant(np.ones(c)), step.w.beta if self.center else step.constant(np.zeros(c))
        mean, inverse = step.new(places), step.new(places)
        step.run(layer_forward, step.x, gamma, beta, self.epsilon, rows, out=(step.y, mean, inverse))
        return gamma, mean, inverse, rows

    def backward(self, step: Any, gamma: Any, mean: Any, inverse: Any, rows: int) -> None:
        c = step.shape[-1]
        shares = [step.new(-(-mean.size // rows) * c) for _ in range(2)]
        step.run(layer_backward, step.x, step.dy, gamma, mean, inverse, rows, out=(step.dx, *shares))
        dgamma, dbeta = step.dw.gamma if self.scale else step.new(c), step.dw.beta if self.center else step.new(c)
        for share, out in zip(shares, (dgamma, dbeta), strict=True):
            step.run(fold, share, out=out)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (5, 4, 7)
        yield cls(axis=1, epsilon=1e-2, center=False), (6,)
        yield cls(scale=False, beta_initializer="ones", beta_regularizer="l2"), (3, 5)
        yield cls(gamma_initializer="zeros", gamma_regularizer="l1"), (1, 1, 9)
        yield cls(center=False, scale=False), (7, 3, 2)
