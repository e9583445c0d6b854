"""The largest value of each window."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from ..kernels.pooling import clear, covered, give, larger, skip, touching
from .pooling2d import Pooling2D


@compiled
def _max_row(image, h, end, kw, sw, left, row):
    """One row of the output: first the largest of each column, in one long loop, then those of a window's columns."""
    width, channels = image.shape[1], image.shape[2]
    column = image[h].copy().reshape(width * channels)
    for i in range(h + 1, end):
        larger(image[i].reshape(width * channels), column)
    for o in range(row.shape[0]):
        w, stop = covered(o, kw, sw, left, width)
        best, x = row[o], column[w * channels : (w + 1) * channels]
        for c in range(best.size):
            best[c] = x[c]
        for j in range(w + 1, stop):
            larger(column[j * channels : (j + 1) * channels], best)


@kernel
def max_forward(x, kh, kw, sh, sw, top, left, y):
    rows = y.shape[1]
    for p in prange(y.shape[0] * rows):
        n, o = p // rows, p % rows
        h, end = covered(o, kh, sh, top, x.shape[1])
        _max_row(x[n], h, end, kw, sw, left, y[n, o])


@compiled
def _max_rows_backward(image, y, dy, kh, kw, sh, sw, top, left, low, high, dx):
    """dx[low:high] of one image: every window that covers a pixel there is looked at again."""
    channels = image.shape[2]
    rest = np.empty(channels, image.dtype)
    for h in range(low, high):
        clear(dx[h].reshape(dx.shape[1] * channels))
    begin, behind = touching(low, high, kh, sh, top, y.shape[0])
    for o in range(begin, behind):
        h, end = covered(o, kh, sh, top, image.shape[0])
        for q in range(y.shape[1]):
            w, stop = covered(q, kw, sw, left, image.shape[1])
            best, grad = y[o, q], dy[o, q]
            for c in range(channels):
                rest[c] = grad[c]
            for i in range(h, low):
                for j in range(w, stop):
                    skip(image[i, j], best, rest)
            for i in range(max(h, low), min(end, high)):
                for j in range(w, stop):
                    give(image[i, j], best, rest, dx[i, j])


@kernel
def max_backward(x, y, dy, kh, kw, sh, sw, top, left, rows, dx):
    """A job owns `rows` rows of dx; windows that reach over their edge are looked at by both neighbours."""
    height = dx.shape[1]
    bands = (height + rows - 1) // rows
    for p in prange(dx.shape[0] * bands):
        n, low = p // bands, p % bands * rows
        _max_rows_backward(x[n], y[n], dy[n], kh, kw, sh, sw, top, left, low, min(low + rows, height), dx[n])


@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """y = the largest value of each window of pool_size pixels, `strides` apart (None: pool_size).

    Shapes: (N, H, W, C) -> (N, H', W', C), H' = (H - pool) // stride + 1, or with padding="same" ceil(H / stride); pixels outside
    the image never win. NaN wins. The first of equal values, row by row, takes the gradient.
    Raises ShapeError where a window does not fit into the image, ConfigError for sizes below 1.
    """

    def forward(self, step: Any) -> None:
        step.run(max_forward, step.x, *self.geometry(step.x.shape), out=step.y)

    def backward(self, step: Any) -> None:
        step.run(max_backward, step.x, step.y, step.dy, *self.geometry(step.x.shape), self.rows_of_a_job(), out=step.dx)
