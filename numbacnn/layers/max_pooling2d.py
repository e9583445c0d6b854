"""The largest value of each window."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit import compiled, kernel, prange
from ..kernels.gpu import LINE, by_rows, in_row
from ..kernels.pooling import clear, covered, give, larger, skip, touching
from ..kernels.ptx import divide
from .pooling2d import Pooling2D


@compiled
def outside(o, k, stride, low, n, before, behind):
    """Whether window o covers any of the zeros that lie `before` and `behind` the n pixels (low counts those before too)."""
    first, end = o * stride - low, o * stride - low + k
    return (before > 0) & (first < 0) & (end > -before) | (behind > 0) & (end > n) & (first < n + behind)


@compiled
def _at_least_zero(best):
    """best = the larger of best and 0, NaN stays."""
    zero = best.dtype.type(0)
    for c in range(best.size):
        a = best[c]
        most = max(a, zero)
        best[c] = most if a == a else a


@compiled
def _max_row(image, h, end, kw, sw, left, before, behind, zeros, row):
    """One row of the output: first the largest of each column, in one long loop, then those of a window's columns.
    zeros: whether the windows reach zeros above or below the image."""
    width, channels = image.shape[1], image.shape[2]
    if h >= end:
        clear(row.reshape(row.size))
        return
    column = image[h].copy().reshape(width * channels)
    for i in range(h + 1, end):
        larger(image[i].reshape(width * channels), column)
    for o in range(row.shape[0]):
        w, stop = covered(o, kw, sw, left, width)
        if w >= stop:
            clear(row[o])
            continue
        best, x = row[o], column[w * channels : (w + 1) * channels]
        for c in range(best.size):
            best[c] = x[c]
        for j in range(w + 1, stop):
            larger(column[j * channels : (j + 1) * channels], best)
        if zeros | outside(o, kw, sw, left, width, before, behind):
            _at_least_zero(best)


@kernel
def max_forward(x, kh, kw, sh, sw, top, left, above, below, before, behind, y):
    """above … behind: rows and columns of padding that counts as 0; other pixels outside never win."""
    rows = y.shape[1]
    for p in prange(y.shape[0] * rows):
        n, o = p // rows, p % rows
        h, end = covered(o, kh, sh, top, x.shape[1])
        _max_row(x[n], h, end, kw, sw, left, before, behind, outside(o, kh, sh, top, x.shape[1], above, below), y[n, o])


@max_forward.cuda(threads=LINE, blocks=by_rows)
def _max_forward(x, kh, kw, sh, sw, top, left, above, below, before, behind, y):
    n, o, e = in_row(y)
    channels = y.shape[3]
    if e < y.shape[2] * channels:
        q, c = divide(e, channels)
        h, end = covered(o, kh, sh, top, x.shape[1])
        w, stop = covered(q, kw, sw, left, x.shape[2])
        zero = x.dtype.type(0)
        best = x[n, h, w, c] if h < end and w < stop else zero
        for i in range(h, end):
            for j in range(w, stop):
                a = x[n, i, j, c]
                if a > best or a != a:
                    best = a
        if outside(o, kh, sh, top, x.shape[1], above, below) | outside(q, kw, sw, left, x.shape[2], before, behind):
            best = zero if best < zero else best
        y[n, o, q, c] = best


@compiled
def _max_rows_backward(image, y, dy, kh, kw, sh, sw, top, left, above, below, before, behind, low, high, dx):
    """dx[low:high] of one image: every window that covers a pixel there is looked at again. Zeros outside win ties."""
    channels, zero = image.shape[2], image.dtype.type(0)
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
            if outside(o, kh, sh, top, image.shape[0], above, below) | outside(q, kw, sw, left, image.shape[1], before, behind):
                for c in range(channels):
                    rest[c] = rest[c] if best[c] != 0 else zero
            for i in range(h, low):
                for j in range(w, stop):
                    skip(image[i, j], best, rest)
            for i in range(max(h, low), min(end, high)):
                for j in range(w, stop):
                    give(image[i, j], best, rest, dx[i, j])


@kernel
def max_backward(x, y, dy, kh, kw, sh, sw, top, left, above, below, before, behind, rows, dx):
    """A job owns `rows` rows of dx; windows that reach over their edge are looked at by both neighbours."""
    height = dx.shape[1]
    bands = (height + rows - 1) // rows
    for p in prange(dx.shape[0] * bands):
        n, low = p // bands, p % bands * rows
        _max_rows_backward(x[n], y[n], dy[n], kh, kw, sh, sw, top, left, above, below, before, behind, low, min(low + rows, height), dx[n])


@max_backward.cuda(threads=LINE, blocks=by_rows)
def _max_backward(x, y, dy, kh, kw, sh, sw, top, left, above, below, before, behind, rows, dx):
    """A thread looks at all windows over its pixel, and in those that its value may have won at the pixels before it."""
    n, h, e = in_row(dx)
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    if e < width * channels:
        w, c = divide(e, channels)
        a, zero = x[n, h, w, c], x.dtype.type(0)
        total = zero
        o0, o1 = touching(h, h + 1, kh, sh, top, y.shape[1])
        q0, q1 = touching(w, w + 1, kw, sw, left, y.shape[2])
        for o in range(o0, o1):
            for q in range(q0, q1):
                best = y[n, o, q, c]
                if a == best or a != a:
                    i0, _ = covered(o, kh, sh, top, height)
                    j0, j1 = covered(q, kw, sw, left, width)
                    zeros = outside(o, kh, sh, top, height, above, below) | outside(q, kw, sw, left, width, before, behind)
                    mine = not (zeros and best == zero)
                    for i in range(i0, h + 1):
                        for j in range(j0, j1 if i < h else w):
                            other = x[n, i, j, c]
                            if other == best or other != other:
                                mine = False
                    if mine:
                        total += dy[n, o, q, c]
        dx[n, h, w, c] = total


@dataclass(frozen=True)
class MaxPooling2D(Pooling2D):
    """y = the largest value of each window of pool_size pixels, `strides` apart (None: pool_size).

    Shapes: (N, H, W, C) -> (N, H', W', C), H' = (H - pool) // stride + 1, or with padding="same" ceil(H / stride); pixels outside
    the image never win, but the zeros of a ZeroPadding2D that the plan folded into the layer do, before equal values inside.
    NaN wins. The first of equal values, row by row, takes the gradient.
    Raises ShapeError where a window does not fit into the image, ConfigError for sizes below 1.
    """

    takes_padding = True

    def forward(self, step: Any) -> None:
        step.run(max_forward, step.x, *self.geometry(step.x.shape, step.padding), *sum(step.padding, ()), out=step.y)

    def backward(self, step: Any) -> None:
        geometry = self.geometry(step.x.shape, step.padding)
        step.run(max_backward, step.x, step.y, step.dy, *geometry, *sum(step.padding, ()), self.rows_of_a_job(), out=step.dx)
