"""Images of another size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..graph import Shape
from ..jit import compiled, kernel, prange
from ..kernels.gpu import LINE, by_rows
from ..kernels.resample import collect, mix
from ..layer import Layer, choice, option, positive
from .zero_padding2d import image


@compiled
def place(o, size, length, bilinear):
    """The two input pixels that output pixel o of `length` mixes, and the second one's share; pixel centres lie at halves."""
    at = (o + 0.5) * size / length
    if bilinear == 0:
        nearest = min(int(at), size - 1)
        return nearest, nearest, 0.0
    low = int(np.floor(at - 0.5))
    return max(low, 0), min(low + 1, size - 1), at - 0.5 - low


@kernel(wide=True)
def resize(x, bilinear, y):
    """x (N, H, W, C), y (N, H', W', C)."""
    one = x.dtype.type(1)
    for job in prange(y.shape[0] * y.shape[1]):
        n, h = job // y.shape[1], job % y.shape[1]
        top, bottom, share = place(h, x.shape[1], y.shape[1], bilinear)
        down = x.dtype.type(share)
        for w in range(y.shape[2]):
            left, right, share = place(w, x.shape[2], y.shape[2], bilinear)
            aside = x.dtype.type(share)
            for c in range(y.shape[3]):
                above = x[n, top, left, c] * (one - aside) + x[n, top, right, c] * aside
                below = x[n, bottom, left, c] * (one - aside) + x[n, bottom, right, c] * aside
                y[n, h, w, c] = above * (one - down) + below * down


@resize.cuda(threads=LINE, blocks=by_rows)
def _resize(x, bilinear, y):
    mix(x, bilinear, y)


@kernel(wide=True)
def resize_gradient(dy, bilinear, dx):
    """Every output pixel gives its gradient to the pixels that it mixed; a job takes one image and so owns what it adds to."""
    one, zero = dy.dtype.type(1), dy.dtype.type(0)
    for n in prange(dx.shape[0]):
        for h in range(dx.shape[1]):
            for w in range(dx.shape[2]):
                for c in range(dx.shape[3]):
                    dx[n, h, w, c] = zero
        for h in range(dy.shape[1]):
            top, bottom, share = place(h, dx.shape[1], dy.shape[1], bilinear)
            down = dy.dtype.type(share)
            for w in range(dy.shape[2]):
                left, right, share = place(w, dx.shape[2], dy.shape[2], bilinear)
                aside = dy.dtype.type(share)
                for c in range(dy.shape[3]):
                    above, below = dy[n, h, w, c] * (one - down), dy[n, h, w, c] * down
                    dx[n, top, left, c] += above * (one - aside)
                    dx[n, top, right, c] += above * aside
                    dx[n, bottom, left, c] += below * (one - aside)
                    dx[n, bottom, right, c] += below * aside


@resize_gradient.cuda(threads=LINE, blocks=by_rows)
def _resize_gradient(dy, bilinear, dx):
    collect(dy, bilinear, dx)


@dataclass(frozen=True)
class Resizing(Layer):
    """Images of height x width pixels, whatever size they had: "bilinear" between pixel centres, clamped at the edge, or "nearest".

    Shapes: (N, H, W, C) -> (N, height, width, C).  Nothing is smoothed first when images shrink (Keras' antialias=False).
    Raises ConfigError for a size below 1 or another interpolation.
    """

    height: int = option(low=1, high=7)
    width: int = option(low=1, high=7)
    interpolation: Literal["bilinear", "nearest"] = "bilinear"

    def __post_init__(self):
        positive(self, "height", "width")
        choice(self, "interpolation", "bilinear", "nearest")

    def output_shape(self, x: Shape) -> Shape:
        return self.height, self.width, image(x)[2]

    def forward(self, step: Any) -> None:
        step.run(resize, step.x, int(self.interpolation == "bilinear"), out=step.y)

    def backward(self, step: Any) -> None:
        step.run(resize_gradient, step.dy, int(self.interpolation == "bilinear"), out=step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(6, 9), (3, 5, 2)
        yield cls(2, 3), (5, 7, 3)
        yield cls(5, 4, "nearest"), (3, 7, 2)
        yield cls(3, 3), (1, 1, 1)
        yield cls(4, 5), (4, 5, 9)
