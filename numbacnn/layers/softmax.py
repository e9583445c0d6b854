"""y = e^x / sum(e^x) along an axis"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import cuda, kernel, prange
from ..kernels.gpu_rows import THREADS, WARPS, blocks_of, lanes_of, own_row, row_max, row_sum
from ..kernels.scalar import exp
from ..layer import Layer, option


@dataclass(frozen=True)
class Softmax(Layer):
    """Probabilities along an axis, without overflow for any x. Losses work from the logits before it.

    axis   counted from the end if negative, else with the batch axis as 0, as in Keras

    Shapes: (N, ...) -> the same.  Raises ConfigError for the batch axis, ShapeError for an axis that the input lacks.
    """

    axis: int = option(-1, values=(-1, 1))

    def __post_init__(self):
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ConfigError(f"Softmax: axis={self.axis!r} must be an integer other than 0 (the batch axis); -1 is the last axis")

    @property
    def link(self) -> str | None:
        return "softmax" if self.axis == -1 else None

    def output_shape(self, x: Shape) -> Shape:
        if not -len(x) <= self.axis <= len(x):
            raise ShapeError(f"there is no axis {self.axis}: use -1 to {-len(x)}, or 1 to {len(x)}")
        return x

    def forward(self, step: Any) -> None:
        split = self._split(step)
        step.run(softmax if split[2] == 1 else softmax_strided, step.x.reshape(*split), out=step.y.reshape(*split))

    def backward(self, step: Any) -> None:
        split = self._split(step)
        step.run(softmax_df if split[2] == 1 else softmax_strided_df, step.y.reshape(*split), step.dy.reshape(*split), out=step.dx.reshape(*split))

    def _split(self, step: Any) -> tuple[int, int, int]:
        """Lengths before, of and behind the axis."""
        shape = step.x.shape
        axis = self.axis % len(shape)
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (11,)
        yield cls(), (4, 5, 3)
        yield cls(axis=1), (4, 5, 3)
        yield cls(axis=-2), (1, 2, 5)


@kernel(in_place=True)
def softmax(x, y):
    """x, y [rows, n, 1]."""
    for r in prange(x.shape[0]):
        top = x[r, 0, 0]
        for k in range(x.shape[1]):
            top = x[r, k, 0] if x[r, k, 0] > top else top
        total = x.dtype.type(0)
        for k in range(x.shape[1]):
            e = exp(x[r, k, 0] - top)
            y[r, k, 0] = e
            total += e
        scale = x.dtype.type(1) / total
        for k in range(x.shape[1]):
            y[r, k, 0] *= scale


@softmax.cuda(threads=THREADS, blocks=lambda x, y: blocks_of(*x.shape[:2]))
def _softmax_on_gpu(x, y):
    scratch = cuda.shared.array(WARPS, x.dtype)
    lanes, zero, one = lanes_of(x.shape[1]), x.dtype.type(0), x.dtype.type(1)
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, x.shape[0], cuda.gridDim.x * many):
        r = first + mine
        count = x.shape[1] if r < x.shape[0] else 0
        top, total = x.dtype.type(-np.inf), zero if count > 0 else one  # what lies behind the last row divides by something, too
        for k in range(lane, count, lanes):
            top = x[r, k, 0] if x[r, k, 0] > top else top
        top = row_max(top, lanes, scratch)
        for k in range(lane, count, lanes):
            e = exp(x[r, k, 0] - top)
            y[r, k, 0] = e
            total += e
        scale = one / row_sum(total, lanes, scratch)
        for k in range(lane, count, lanes):
            y[r, k, 0] *= scale


@kernel(in_place=True)
def softmax_df(y, dy, dx):
    for r in prange(y.shape[0]):
        mean = y.dtype.type(0)
        for k in range(y.shape[1]):
            mean += y[r, k, 0] * dy[r, k, 0]
        for k in range(y.shape[1]):
            dx[r, k, 0] = y[r, k, 0] * (dy[r, k, 0] - mean)


@softmax_df.cuda(threads=THREADS, blocks=lambda y, dy, dx: blocks_of(*y.shape[:2]))
def _softmax_df_on_gpu(y, dy, dx):
    scratch = cuda.shared.array(WARPS, y.dtype)
    lanes = lanes_of(y.shape[1])
    lane, mine, many = own_row(lanes)
    for first in range(cuda.blockIdx.x * many, y.shape[0], cuda.gridDim.x * many):
        r = first + mine
        count, mean = y.shape[1] if r < y.shape[0] else 0, y.dtype.type(0)
        for k in range(lane, count, lanes):
            mean += y[r, k, 0] * dy[r, k, 0]
        mean = row_sum(mean, lanes, scratch)
        for k in range(lane, count, lanes):
            dx[r, k, 0] = y[r, k, 0] * (dy[r, k, 0] - mean)


@kernel(in_place=True)
def softmax_strided(x, y):
    """x, y [rows, n, inner]: softmax along n."""
    inner = x.shape[2]
    for i in prange(x.shape[0] * inner):
        r, c = i // inner, i % inner
        top = x[r, 0, c]
        for k in range(x.shape[1]):
            top = x[r, k, c] if x[r, k, c] > top else top
        total = x.dtype.type(0)
        for k in range(x.shape[1]):
            e = exp(x[r, k, c] - top)
            y[r, k, c] = e
            total += e
        scale = x.dtype.type(1) / total
        for k in range(x.shape[1]):
            y[r, k, c] *= scale


@kernel(in_place=True)
def softmax_strided_df(y, dy, dx):
    inner = y.shape[2]
    for i in prange(y.shape[0] * inner):
        r, c = i // inner, i % inner
        mean = y.dtype.type(0)
        for k in range(y.shape[1]):
            mean += y[r, k, c] * dy[r, k, c]
        for k in range(y.shape[1]):
            dx[r, k, c] = y[r, k, c] * (dy[r, k, c] - mean)
