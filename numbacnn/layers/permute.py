"""Axes in another order"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..jit import kernel, prange
from ..kernels.gpu import LINE, by_rows, in_row
from ..kernels.ptx import divide
from ..layer import Layer, option


@kernel
def permute(x, stride_a, stride_b, stride_c, y):
    """y[n, i, j, k] = x[n, i * stride_a + j * stride_b + k * stride_c].  x (N, size), y (N, I, J, K)."""
    for job in prange(y.shape[0] * y.shape[1]):
        n, i = job // y.shape[1], job % y.shape[1]
        image = x[n]
        for j in range(y.shape[2]):
            start, row = i * stride_a + j * stride_b, y[n, i, j]
            for k in range(row.size):
                row[k] = image[start + k * stride_c]


@permute.cuda(threads=LINE, blocks=by_rows)
def _permute(x, stride_a, stride_b, stride_c, y):
    n, i, e = in_row(y)
    if e < y.shape[2] * y.shape[3]:
        j, k = divide(e, y.shape[3])
        y[n, i, j, k] = x[n, i * stride_a + j * stride_b + k * stride_c]


@dataclass(frozen=True)
class Permute(Layer):
    """Puts the axes behind the batch into another order.

    dims   the input's axes (1 is the first behind the batch) in the order of the output's: (2, 1) swaps two

    Shapes: (N, d1, d2, …) of 1 to 3 axes behind the batch -> (N, d[dims[0]], d[dims[1]], …).
    Raises ConfigError where dims is no order of 1, 2, …, ShapeError where the input has another number of axes.
    """

    dims: tuple[int, ...] = option(draw=False)

    def __post_init__(self):
        dims = (self.dims,) if isinstance(self.dims, int) else tuple(self.dims)
        if not dims or len(dims) > 3 or sorted(dims) != list(range(1, len(dims) + 1)):
            raise ConfigError(f"Permute: dims={self.dims!r} must hold each of 1, 2, … once, for 1 to 3 axes (the batch axis, 0, stays first)")
        object.__setattr__(self, "dims", dims)

    def output_shape(self, x: Shape) -> Shape:
        if len(x) != len(self.dims):
            raise ShapeError(f"dims={self.dims} is an order of {len(self.dims)} axes, the input has {len(x)} behind the batch")
        return tuple(x[d - 1] for d in self.dims)

    def forward(self, step: Any) -> None:
        _note(step, step.x, self.dims, step.y)

    def backward(self, step: Any) -> None:
        back = tuple(self.dims.index(d) + 1 for d in range(1, len(self.dims) + 1))
        _note(step, step.dy, back, step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls((2, 1)), (3, 5)
        yield cls((3, 1, 2)), (4, 5, 3)
        yield cls((2, 3, 1)), (2, 1, 7)
        yield cls((1, 3, 2)), (3, 2, 5)
        yield cls((1,)), (7,)


def _note(step: Any, x: Any, dims: tuple[int, ...], y: Any) -> None:
    """Note the launch of y = x with the axes in the order dims."""
    shape, strides, size = x.shape[1:], [], 1
    for n in reversed(shape):
        strides.insert(0, size)
        size *= n
    ones = 3 - len(dims)
    steps = [0] * ones + [strides[d - 1] for d in dims]
    step.run(permute, x.reshape(x.shape[0], size), *steps, out=y.reshape(y.shape[0], *[1] * ones, *y.shape[1:]))
