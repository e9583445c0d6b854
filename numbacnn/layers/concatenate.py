"""Inputs one behind another along an axis."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import compiled, cuda, kernel, prange
from ..kernels.gpu import parted
from ..layer import Layer, option
from ..twin import MOST_BLOCKS

BLOCK = 4096  # elements of a job


@compiled
def blocks_of(rows, width):
    """(rows of a job, jobs along the rows, jobs along the columns): rows may be many and short, or few and long."""
    height = max(1, BLOCK // width)
    return height, (rows + height - 1) // height, (width + BLOCK - 1) // BLOCK


@compiled
def copy(x, x_first, y, y_first, count, first, last):
    """`count` columns of the rows first..last."""
    for r in range(first, last):
        source, target = x[r, x_first : x_first + count], y[r, y_first : y_first + count]
        for i in range(count):
            target[i] = source[i]


@kernel
def join(a, b, y):
    """Rows of y = rows of a, then rows of b.  a (R, m), b (R, n), y (R, m + n)."""
    rows, border = y.shape[0], a.shape[1]
    height, down, across = blocks_of(rows, y.shape[1])
    for job in prange(down * across):
        top, left = job // across * height, job % across * BLOCK
        bottom, right = min(top + height, rows), min(left + BLOCK, y.shape[1])
        copy(a, left, y, left, max(min(right, border) - left, 0), top, bottom)
        start = max(left, border)
        copy(b, start - border, y, start, max(right - start, 0), top, bottom)


@join.cuda()
def _join(a, b, y):
    border, width = a.shape[1], y.shape[1]
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        r, column = parted(i, width)
        y[r, column] = a[r, column] if column < border else b[r, column - border]


@kernel
def part(x, start, y):
    """Rows of y = rows of x from `start` on.  x (R, m), y (R, n)."""
    rows = y.shape[0]
    height, down, across = blocks_of(rows, y.shape[1])
    for job in prange(down * across):
        top, left = job // across * height, job % across * BLOCK
        copy(x, start + left, y, left, min(BLOCK, y.shape[1] - left), top, min(top + height, rows))


@part.cuda(blocks=lambda x, start, y: min(-(-y.size // 256), MOST_BLOCKS))
def _part(x, start, y):
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        r, column = parted(i, y.shape[1])
        y[r, column] = x[r, start + column]


@dataclass(frozen=True)
class Concatenate(Layer):
    """Two or more inputs one behind another along `axis` (counted with the batch axis, which is 0 and cannot be meant).

    Shapes: (N, H, W, C1), (N, H, W, C2), … -> (N, H, W, C1 + C2 + …) for axis -1; all other axes must be equal.
    """

    axis: int = option(-1, draw=False)

    def __post_init__(self):
        if not isinstance(self.axis, int) or self.axis == 0:
            raise ConfigError(f"Concatenate: axis={self.axis!r} must be an integer other than 0, the batch axis")

    def output_shape(self, *xs: Shape) -> Shape:
        if len(xs) < 2:
            raise ShapeError(f"it joins at least 2 inputs, but got {len(xs)}")
        axes = len(xs[0])
        if any(len(x) != axes for x in xs):
            raise ShapeError("inputs must have equally many axes")
        at = self._place(axes)
        others = [tuple(n for i, n in enumerate(x) if i != at) for x in xs]
        for other, x in zip(others[1:], xs[1:], strict=True):
            if any(m != n and None not in (m, n) for m, n in zip(others[0], other, strict=True)):
                raise ShapeError(f"{tuple(xs[0])} and {tuple(x)} differ in more than axis {self.axis}")
        along = [x[at] for x in xs]
        shape = [next((x[i] for x in xs if x[i] is not None), None) for i in range(axes)]
        shape[at] = None if None in along else sum(along)
        return tuple(shape)

    def _place(self, axes: int) -> int:
        """The axis, counted without the batch axis."""
        at = self.axis - 1 if self.axis > 0 else axes + self.axis
        if not 0 <= at < axes:
            raise ShapeError(f"axis={self.axis} is none of the {axes} axes behind the batch axis")
        return at

    def _rows(self, buffer: Any) -> Any:
        place = self._place(len(buffer.shape) - 1) + 1
        return buffer.reshape(math.prod(buffer.shape[:place]), math.prod(buffer.shape[place:]))

    def forward(self, step: Any) -> None:
        parts = [self._rows(x) for x in step.xs]
        while len(parts) > 1:  # pairs of pairs: each element is copied log(inputs) times
            pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
            parts = [p[0] if len(p) == 1 else step.run(join, *p, out=step.new(p[0].shape[0], p[0].shape[1] + p[1].shape[1])) for p in pairs]
        step.y = parts[0].reshape(step.batch, *step.shape)

    def backward(self, step: Any) -> None:
        dy, first = self._rows(step.dy), 0
        for i, x in enumerate(step.xs):
            rows, size = self._rows(x).shape
            step.dxs[i] = step.run(part, dy, first, out=step.new(rows, size)).reshape(*x.shape)
            first += size

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (3, 5, 2), (3, 5, 3)
        yield cls(), (5,), (1,), (3,)
        yield cls(axis=1), (1, 3, 2), (3, 3, 2), (2, 3, 2), (1, 3, 2), (1, 3, 2)
        yield cls(axis=-2), (1, 1, 3), (1, 2, 3)
