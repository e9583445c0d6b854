"""The mean of each window."""

from dataclasses import dataclass
from typing import Any

from ..jit import compiled, kernel, prange
from ..kernels.gpu import LINE, by_rows, in_row
from ..kernels.pooling import clear, covered, touching
from ..kernels.ptx import divide
from .pooling2d import Pooling2D


@compiled
def _add(x, factor, total):
    for c in range(total.size):
        total[c] += x[c] * factor


@compiled
def _mean_row(image, h, end, kw, sw, left, row):
    for o in range(row.shape[0]):
        w, stop = covered(o, kw, sw, left, image.shape[1])
        factor = image.dtype.type(1) / image.dtype.type((end - h) * (stop - w))
        clear(row[o])
        for i in range(h, end):
            for j in range(w, stop):
                _add(image[i, j], factor, row[o])


@kernel
def average_forward(x, kh, kw, sh, sw, top, left, y):
    rows = y.shape[1]
    for p in prange(y.shape[0] * rows):
        n, o = p // rows, p % rows
        h, end = covered(o, kh, sh, top, x.shape[1])
        _mean_row(x[n], h, end, kw, sw, left, y[n, o])


@average_forward.cuda(threads=LINE, blocks=by_rows)
def _average_forward(x, kh, kw, sh, sw, top, left, y):
    n, o, e = in_row(y)
    channels = y.shape[3]
    if e < y.shape[2] * channels:
        q, c = divide(e, channels)
        h, end = covered(o, kh, sh, top, x.shape[1])
        w, stop = covered(q, kw, sw, left, x.shape[2])
        factor, total = x.dtype.type(1) / x.dtype.type((end - h) * (stop - w)), x.dtype.type(0)
        for i in range(h, end):
            for j in range(w, stop):
                total += x[n, i, j, c] * factor
        y[n, o, q, c] = total


@compiled
def _mean_rows_backward(grad, kh, kw, sh, sw, top, left, low, high, dx):
    for h in range(low, high):
        clear(dx[h].reshape(dx.shape[1] * dx.shape[2]))
    begin, behind = touching(low, high, kh, sh, top, grad.shape[0])
    for o in range(begin, behind):
        h, end = covered(o, kh, sh, top, dx.shape[0])
        for q in range(grad.shape[1]):
            w, stop = covered(q, kw, sw, left, dx.shape[1])
            factor = grad.dtype.type(1) / grad.dtype.type((end - h) * (stop - w))
            for i in range(max(h, low), min(end, high)):
                for j in range(w, stop):
                    _add(grad[o, q], factor, dx[i, j])


@kernel
def average_backward(dy, kh, kw, sh, sw, top, left, rows, dx):
    """A job owns `rows` rows of dx."""
    height = dx.shape[1]
    bands = (height + rows - 1) // rows
    for p in prange(dx.shape[0] * bands):
        n, low = p // bands, p % bands * rows
        _mean_rows_backward(dy[n], kh, kw, sh, sw, top, left, low, min(low + rows, height), dx[n])


@average_backward.cuda(threads=LINE, blocks=by_rows)
def _average_backward(dy, kh, kw, sh, sw, top, left, rows, dx):
    n, h, e = in_row(dx)
    height, width, channels = dx.shape[1], dx.shape[2], dx.shape[3]
    if e < width * channels:
        w, c = divide(e, channels)
        one, total = dx.dtype.type(1), dx.dtype.type(0)
        o0, o1 = touching(h, h + 1, kh, sh, top, dy.shape[1])
        q0, q1 = touching(w, w + 1, kw, sw, left, dy.shape[2])
        for o in range(o0, o1):
            i0, i1 = covered(o, kh, sh, top, height)
            for q in range(q0, q1):
                j0, j1 = covered(q, kw, sw, left, width)
                total += dy[n, o, q, c] * (one / dx.dtype.type((i1 - i0) * (j1 - j0)))
        dx[n, h, w, c] = total


@dataclass(frozen=True)
class AveragePooling2D(Pooling2D):
    """y = the mean of each window of pool_size pixels, `strides` apart (None: pool_size).

    Shapes: (N, H, W, C) -> (N, H', W', C), H' = (H - pool) // stride + 1, or with padding="same" ceil(H / stride), where only
    pixels inside the image count.
    Raises ShapeError where a window does not fit into the image, ConfigError for sizes below 1.
    """

    def forward(self, step: Any) -> None:
        step.run(average_forward, step.x, *self.geometry(step.x.shape), out=step.y)

    def backward(self, step: Any) -> None:
        step.run(average_backward, step.dy, *self.geometry(step.x.shape), self.rows_of_a_job(), out=step.dx)
