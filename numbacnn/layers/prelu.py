"""y = x where x > 0, else alpha * x, with a learned alpha"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import cuda, kernel, prange
from ..kernels.gpu_columns import COLUMNS, FIRST, ROWS, across, down
from ..kernels.gpu_places import advance, place, quotient, remainder
from ..layer import Initial, Layer, Penalty, Weight, option

_PARTS = 128  # partial sums of dalpha, for any number of threads


@dataclass(frozen=True)
class PReLU(Layer):
    """ReLU with a learned slope below zero.

    shared_axes   axes (1 is the first behind the batch) along which one alpha holds; (1, 2) learns one alpha a channel

    Shapes: (N, ...) of up to 3 axes behind the batch -> the same; weight alpha has the input's shape, with 1 on the shared axes.
    Raises ConfigError for axes below 1, ShapeError for axes that the input lacks.
    Reference: He, Zhang, Ren, Sun: Delving deep into rectifiers, 2015.
    """

    alpha_initializer: Initial = option("zeros", values=("zeros", "glorot_uniform"))
    alpha_regularizer: Penalty = option(None, draw=False)
    shared_axes: tuple[int, ...] | int | None = option(None, values=(None, (1,), (1, 2), (3,), (1, 2, 3)))

    kinks = (0.0,)

    def __post_init__(self):
        axes = (self.shared_axes,) if isinstance(self.shared_axes, int) else tuple(self.shared_axes or ())
        if not all(isinstance(a, int) and a >= 1 for a in axes):
            raise ConfigError(f"PReLU: shared_axes={self.shared_axes!r} must be axes from 1 (0 is the batch)")
        object.__setattr__(self, "shared_axes", axes or None)

    def output_shape(self, x: Shape) -> Shape:
        self._alpha(x)
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"alpha": Weight(self._alpha(x), self.alpha_initializer, regularizer=self.alpha_regularizer)}

    def _alpha(self, x: Shape) -> tuple[int, ...]:
        shared = self.shared_axes or ()
        if len(x) > 3 or max(shared, default=1) > len(x):
            raise ShapeError(f"it takes up to 3 axes behind the batch, and shared_axes={self.shared_axes} must be among them")
        shape = tuple(1 if i in shared else s for i, s in enumerate(x, 1))
        if None in shape:
            raise ShapeError("an axis of unknown length needs an alpha for each place: add it to shared_axes, such as shared_axes=(1, 2)")
        return shape

    def forward(self, step: Any) -> None:
        x, alpha, y = self._four(step.x), self._four(step.w.alpha, 3), self._four(step.y)
        step.run(prelu, x, alpha, out=y)

    def backward(self, step: Any) -> None:
        x, alpha, dy, dx = self._four(step.x), self._four(step.w.alpha, 3), self._four(step.dy), self._four(step.dx)
        parts = alpha.shape[0] if alpha.shape[0] > 1 else min(_PARTS, x.shape[0] * x.shape[1])
        partial = step.new(parts, *alpha.shape[1:], dtype=np.float64)
        step.run(prelu_dx, x, dy, alpha, out=dx)
        step.run(prelu_dalpha, x, dy, alpha.shape[0], out=partial)
        step.run(prelu_fold, partial, out=step.dw.alpha.reshape(-1))

    @staticmethod
    def _four(b: Any, axes: int = 4) -> Any:
        """The array with axes of 1 put in until it has (batch,) height, width, channels."""
        batch = b.shape[: axes - 3]
        rest = b.shape[axes - 3 :]
        return b.reshape(*batch, *(1,) * (3 - len(rest)), *rest)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(alpha_initializer="glorot_uniform"), (4, 5, 3)
        yield cls(shared_axes=(1, 2), alpha_initializer="glorot_uniform"), (5, 4, 3)
        yield cls(shared_axes=(3,), alpha_initializer="glorot_uniform"), (2, 3, 4)
        yield cls(shared_axes=(1, 2, 3)), (3, 2, 5)
        yield cls(shared_axes=1), (1, 1, 5)
        yield cls(alpha_initializer="glorot_uniform"), (7,)


@kernel(in_place=True)
def prelu(x, alpha, y):
    zero = x.dtype.type(0)
    a, b, c = min(alpha.shape[0] - 1, 1), min(alpha.shape[1] - 1, 1), min(alpha.shape[2] - 1, 1)  # 0 where shared
    for i in prange(x.shape[0] * x.shape[1]):
        n, h = i // x.shape[1], i % x.shape[1]
        for w in range(x.shape[2]):
            slope = alpha[h * a, w * b]
            for k in range(x.shape[3]):
                v = x[n, h, w, k]
                y[n, h, w, k] = v if v > zero else v * slope[k * c]


@prelu.cuda
def _prelu_on_gpu(x, alpha, y):
    zero = x.dtype.type(0)
    a, b, c = min(alpha.shape[0] - 1, 1), min(alpha.shape[1] - 1, 1), min(alpha.shape[2] - 1, 1)
    n, h, w, k = place(cuda.grid(1), x.shape)
    steps = place(cuda.gridsize(1), x.shape)
    while n < x.shape[0]:
        v = x[n, h, w, k]
        y[n, h, w, k] = v if v > zero else v * alpha[h * a, w * b, k * c]
        n, h, w, k = advance(n, h, w, k, steps, x.shape)


@kernel(in_place=True)
def prelu_dx(x, dy, alpha, dx):
    zero = x.dtype.type(0)
    a, b, c = min(alpha.shape[0] - 1, 1), min(alpha.shape[1] - 1, 1), min(alpha.shape[2] - 1, 1)  # 0 where shared
    for i in prange(x.shape[0] * x.shape[1]):
        n, h = i // x.shape[1], i % x.shape[1]
        for w in range(x.shape[2]):
            slope = alpha[h * a, w * b]
            for k in range(x.shape[3]):
                g = dy[n, h, w, k]
                dx[n, h, w, k] = g if x[n, h, w, k] > zero else g * slope[k * c]


@prelu_dx.cuda
def _prelu_dx_on_gpu(x, dy, alpha, dx):
    zero = x.dtype.type(0)
    a, b, c = min(alpha.shape[0] - 1, 1), min(alpha.shape[1] - 1, 1), min(alpha.shape[2] - 1, 1)
    n, h, w, k = place(cuda.grid(1), x.shape)
    steps = place(cuda.gridsize(1), x.shape)
    while n < x.shape[0]:
        g = dy[n, h, w, k]
        dx[n, h, w, k] = g if x[n, h, w, k] > zero else g * alpha[h * a, w * b, k * c]
        n, h, w, k = advance(n, h, w, k, steps, x.shape)


@kernel
def prelu_dalpha(x, dy, height, partial):
    """partial [parts, width or 1, channels or 1]: a part is a row of all images where alpha differs by row (height > 1), else a range of rows."""
    zero = x.dtype.type(0)
    rows, parts = x.shape[0] * x.shape[1], partial.shape[0]
    b, c = min(partial.shape[1] - 1, 1), min(partial.shape[2] - 1, 1)
    for p in prange(parts):
        total = partial[p]
        for w in range(total.shape[0]):
            for k in range(total.shape[1]):
                total[w, k] = 0
        first, last, stride = (p, rows, height) if height > 1 else (rows * p // parts, rows * (p + 1) // parts, 1)
        for i in range(first, last, stride):
            n, h = i // x.shape[1], i % x.shape[1]
            for w in range(x.shape[2]):
                sums = total[w * b]
                if c == 1:
                    for k in range(x.shape[3]):
                        sums[k] += zero if x[n, h, w, k] > zero else x[n, h, w, k] * dy[n, h, w, k]
                else:
                    s = 0.0
                    for k in range(x.shape[3]):
                        s += zero if x[n, h, w, k] > zero else x[n, h, w, k] * dy[n, h, w, k]
                    sums[0] += s


@prelu_dalpha.cuda(threads=FIRST, blocks=lambda x, dy, height, partial: (partial.shape[0], -(-partial.shape[2] // COLUMNS), min(partial.shape[1], 65535)))
def _prelu_dalpha_on_gpu(x, dy, height, partial):
    """A block takes a part and COLUMNS places of a row of partial; its lines of threads go over what is summed into them."""
    scratch = cuda.shared.array((ROWS, COLUMNS), np.float64)
    rows, parts, zero = x.shape[0] * x.shape[1], partial.shape[0], x.dtype.type(0)
    p, first = cuda.blockIdx.x, cuda.blockIdx.y * COLUMNS + cuda.threadIdx.x
    start, last, stride = (p, rows, height) if height > 1 else (quotient(rows * p, parts), quotient(rows * (p + 1), parts), 1)
    whole = partial.shape[2] < x.shape[3]  # one alpha for all channels
    end, step = x.shape[3] if whole else min(first + 1, x.shape[3]), COLUMNS if whole else 1
    for column in range(cuda.blockIdx.z, partial.shape[1], cuda.gridDim.z):
        left, width = (column, 1) if partial.shape[1] > 1 else (0, x.shape[2])
        shape = 1, quotient(last - start + stride - 1, stride), width, 1
        steps, value = place(ROWS, shape), 0.0
        done, i, w, _ = place(cuda.threadIdx.y, shape)
        while done == 0:
            n, h = quotient(start + i * stride, x.shape[1]), remainder(start + i * stride, x.shape[1])
            for k in range(first, end, step):
                v = x[n, h, left + w, k]
                value += zero if v > zero else v * dy[n, h, left + w, k]
            done, i, w, _ = advance(done, i, w, 0, steps, shape)
        if whole:
            value = across(value)
        value = down(value, scratch)
        if cuda.threadIdx.y == 0 and first < partial.shape[2]:
            partial[p, column, first] = value


@kernel
def prelu_fold(partial, dalpha):
    """dalpha [size]: one part after another where the parts are its rows, else their sum."""
    parts, size = partial.shape[0], partial.shape[1] * partial.shape[2]
    for p in prange(dalpha.size // size):
        for j in range(size):
            w, k = j // partial.shape[2], j % partial.shape[2]
            s = partial[p, w, k]
            if dalpha.size == size:
                for q in range(1, parts):
                    s += partial[q, w, k]
            dalpha[p * size + j] = s


@prelu_fold.cuda(blocks=lambda partial, dalpha: -(-dalpha.size // 256))
def _prelu_fold_on_gpu(partial, dalpha):
    parts, size = partial.shape[0], partial.shape[1] * partial.shape[2]
    for i in range(cuda.grid(1), dalpha.size, cuda.gridsize(1)):
        p, j = quotient(i, size), remainder(i, size)
        w, k = quotient(j, partial.shape[2]), remainder(j, partial.shape[2])
        s = partial[p, w, k]
        if dalpha.size == size:
            for q in range(1, parts):
                s += partial[q, w, k]
        dalpha[i] = s
