"""Images with more pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..graph import Shape
from ..jit import compiled, kernel, prange
from ..kernels.gpu import LINE, by_rows
from ..kernels.resample import collect, mix
from ..layer import Layer, choice, option, pair
from .zero_padding2d import image


@kernel
def repeat(x, rows, columns, y):
    """y[h, w] = x[h // rows, w // columns].  x (N, H, W, C), y (N, H·rows, W·columns, C)."""
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        for w in range(y.shape[2]):
            for c in range(y.shape[3]):
                y[n, h, w, c] = x[n, h // rows, w // columns, c]


@repeat.cuda(threads=LINE, blocks=by_rows)
def _repeat(x, rows, columns, y):
    mix(x, 0, y)


@compiled
def source(i, size, scale):
    """Neighbours of output pixel i among `size` input pixels, and the second one's share; at the edge both are the last pixel."""
    at = (i + 0.5) / scale - 0.5
    low = int(np.floor(at))
    return max(low, 0), min(low + 1, size - 1), at - low


@kernel(wide=True)
def interpolate(x, rows, columns, y):
    """Bilinear, pixel centres at halves.  x (N, H, W, C), y (N, H·rows, W·columns, C)."""
    one = x.dtype.type(1)
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        top, bottom, share = source(h, x.shape[1], rows)
        down = x.dtype.type(share)
        for w in range(y.shape[2]):
            left, right, share = source(w, x.shape[2], columns)
            aside = x.dtype.type(share)
            for c in range(y.shape[3]):
                above = x[n, top, left, c] * (one - aside) + x[n, top, right, c] * aside
                below = x[n, bottom, left, c] * (one - aside) + x[n, bottom, right, c] * aside
                y[n, h, w, c] = above * (one - down) + below * down


@interpolate.cuda(threads=LINE, blocks=by_rows)
def _interpolate(x, rows, columns, y):
    mix(x, 1, y)


@compiled
def share_of(i, o, size, scale, bilinear):
    """Weight of input pixel i in output pixel o."""
    if bilinear == 0:
        return 1.0 if o // scale == i else 0.0
    low, high, share = source(o, size, scale)
    return (1.0 - share if low == i else 0.0) + (share if high == i else 0.0)


@kernel(wide=True)
def gather(dy, rows, columns, bilinear, dx):
    """Gradient of both: every input pixel collects from the output pixels that it reaches."""
    zero = dy.dtype.type(0)
    height, width = dx.shape[1], dx.shape[2]
    for job in prange(dx.shape[0] * height):
        n, h = job // height, job % height
        for w in range(width):
            for c in range(dx.shape[3]):
                dx[n, h, w, c] = zero
            for i in range(max(0, (h - bilinear) * rows), min(height, h + 1 + bilinear) * rows):
                down = share_of(h, i, height, rows, bilinear)
                for j in range(max(0, (w - bilinear) * columns), min(width, w + 1 + bilinear) * columns):
                    share = dy.dtype.type(down * share_of(w, j, width, columns, bilinear))
                    if share != zero:
                        for c in range(dx.shape[3]):
                            dx[n, h, w, c] += share * dy[n, i, j, c]


@gather.cuda(threads=LINE, blocks=by_rows)
def _gather(dy, rows, columns, bilinear, dx):
    collect(dy, bilinear, dx)


@dataclass(frozen=True)
class UpSampling2D(Layer):
    """Enlarges images by whole factors: each pixel repeated ("nearest"), or "bilinear" between pixel centres, clamped at the edge.

    Shapes: (N, H, W, C) -> (N, H·size[0], W·size[1], C).
    """

    size: tuple[int, int] | int = option((2, 2), low=1, high=3)
    interpolation: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self):
        pair(self, "size")
        choice(self, "interpolation", "nearest", "bilinear")

    def output_shape(self, x: Shape) -> Shape:
        h, w, c = image(x)
        return None if h is None else h * self.size[0], None if w is None else w * self.size[1], c

    def forward(self, step: Any) -> None:
        step.run(repeat if self.interpolation == "nearest" else interpolate, step.x, *self.size, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(gather, step.dy, *self.size, int(self.interpolation == "bilinear"), out=step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (3, 5, 2)
        yield cls((3, 1)), (1, 1, 3)
        yield cls(2, "bilinear"), (4, 3, 5)
        yield cls((1, 3), "bilinear"), (3, 2, 1)
        yield cls(4, "bilinear"), (1, 1, 2)
