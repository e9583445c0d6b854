"""Sobel: where an image gets darker or brighter, by fixed filters, as a layer in front of others.

Reference: Sobel and Feldman, An isotropic 3x3 image gradient operator, 1968 (published by Sobel, 2014).
All filters follow from two slopes, one downwards and one to the right, each a difference along one axis times [1 2 1] along the other; a
filter is a slope with a sign. Kernels without a CUDA twin, as these, run on a GPU from their own source, one job a thread.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from numbacnn import ConfigError, Layer, ShapeError, option
from numbacnn.jit import compiled, kernel, prange

SIGNS = {"top": (1, 0), "bottom": (-1, 0), "left": (0, 1), "right": (0, -1)}  # of (upper - lower), (left - right)
EDGES = tuple(SIGNS)

# ---- kernels: beyond its border an image goes on as its outermost pixels


@compiled
def difference(i, h, n):
    """The factor of line h in (line before i) - (line behind i), of n lines."""
    factor = (h == i - 1) - (h == i + 1)
    return factor + (h == i and i == 0) - (h == i and i == n - 1)


@compiled
def smoothness(i, h, n):
    """The factor of line h in (line before i) + 2 * (line i) + (line behind i)."""
    factor = 2 * (h == i) + (h == i - 1) + (h == i + 1)
    return factor + (h == i and i == 0) + (h == i and i == n - 1)


@kernel
def edges(x, signs, y):
    """y[n, h, w, c * E + e] = signs[e, 0] * (upper - lower) + signs[e, 1] * (left - right); a row of an image is one job."""
    height, width, channels, count = x.shape[1], x.shape[2], x.shape[3], signs.shape[0]
    two = x.dtype.type(2)
    for p in prange(x.shape[0] * height):
        n, h = p // height, p % height
        above, here, below = x[n, max(h - 1, 0)], x[n, h], x[n, min(h + 1, height - 1)]
        for w in range(width):
            left, right = max(w - 1, 0), min(w + 1, width - 1)
            for c in range(channels):
                down = (above[left, c] - below[left, c]) + two * (above[w, c] - below[w, c]) + (above[right, c] - below[right, c])
                across = (above[left, c] - above[right, c]) + two * (here[left, c] - here[right, c]) + (below[left, c] - below[right, c])
                for e in range(count):
                    y[n, h, w, c * count + e] = signs[e, 0] * down + signs[e, 1] * across


@kernel
def slopes(dy, signs, down, across):
    """The gradients by the two slopes: down, across [N, H, W, C]."""
    height, width, channels, count = down.shape[1], down.shape[2], down.shape[3], signs.shape[0]
    for p in prange(down.shape[0] * height):
        n, h = p // height, p % height
        for w in range(width):
            for c in range(channels):
                a = b = down.dtype.type(0)
                for e in range(count):
                    a += signs[e, 0] * dy[n, h, w, c * count + e]
                    b += signs[e, 1] * dy[n, h, w, c * count + e]
                down[n, h, w, c] = a
                across[n, h, w, c] = b


@kernel
def edges_backward(down, across, dx):
    """dx[n, h, w] = what each place around it took of it."""
    height, width = dx.shape[1], dx.shape[2]
    for p in prange(dx.shape[0] * height):
        n, h = p // height, p % height
        for w in range(width):
            out = dx[n, h, w]
            for c in range(out.size):
                out[c] = 0
            for i in range(max(h - 1, 0), min(h + 2, height)):
                for j in range(max(w - 1, 0), min(w + 2, width)):
                    a = dx.dtype.type(difference(i, h, height) * smoothness(j, w, width))
                    b = dx.dtype.type(smoothness(i, h, height) * difference(j, w, width))
                    first, second = down[n, i, j], across[n, i, j]
                    for c in range(out.size):
                        out[c] += a * first[c] + b * second[c]


# ---- the layer


@dataclass(frozen=True)
class Sobel(Layer):
    """Edges by 3 x 3 filters that are not learned.

    edges  which: "top" is positive where the image is brighter above than below, "bottom" the opposite, "left" where it is brighter on the
           left, "right" the opposite. With ReLU behind it, each shows its own edges alone.

    Shapes: (N, H, W, C) -> (N, H, W, C * len(edges)); channel c's edges lie side by side, in the order of `edges`, as DepthwiseConv2D has
    it. Beyond its border an image goes on as its outermost pixels, so that a flat one has no edges.
    Raises ConfigError for other names, none, or one given twice; ShapeError where the input is no image.
    """

    contract: ClassVar[int] = 1  # the version of numbacnn's contract that this was written for

    edges: tuple[str, ...] = option(EDGES, values=(EDGES, ("top", "left"), ("right",)))

    def __post_init__(self):
        names = (self.edges,) if isinstance(self.edges, str) else tuple(self.edges)
        if not names or len(set(names)) < len(names) or not set(names) <= set(EDGES):
            raise ConfigError(f"Sobel: edges={self.edges!r} must be some of {', '.join(map(repr, EDGES))}, each at most once")
        object.__setattr__(self, "edges", names)

    def output_shape(self, x: tuple) -> tuple:
        if len(x) != 3:
            raise ShapeError("it takes images (height, width, channels)")
        return (*x[:2], None if x[2] is None else x[2] * len(self.edges))

    def multiply_adds(self, x: tuple) -> int:
        return math.prod(x) * (6 + 2 * len(self.edges))

    def forward(self, step: Any) -> None:
        step.run(edges, step.x, self._signs(step), out=step.y)

    def backward(self, step: Any) -> None:
        down, across = step.like(step.x), step.like(step.x)
        step.run(slopes, step.dy, self._signs(step), out=(down, across))
        step.run(edges_backward, down, across, out=step.dx)

    def _signs(self, step: Any) -> Any:
        return step.constant(np.array([SIGNS[name] for name in self.edges], float))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        """(layer, input shape) for tests."""
        yield cls(), (5, 6, 3)
        yield cls(("top", "left")), (4, 3, 2)
        yield cls("right"), (1, 7, 1)
        yield cls(("bottom", "right", "left")), (2, 1, 5)
        yield cls(), (1, 1, 2)
