"""What layers that merge inputs element by element have in common: shapes, and chains of pairwise launches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from ..graph import Shape
from ..kernels.broadcast import equal, grouped, stretched, sum_stretched
from ..layer import Layer


@dataclass(frozen=True)
class Merge(Layer):
    """Base of layers over two or more inputs of one rank, whose axes are equal or 1 (those stretch)."""

    most: ClassVar[int | None] = None  # inputs, where there is an upper limit

    def output_shape(self, *xs: Shape) -> Shape:
        if len(xs) < 2 or len(xs) > (self.most or len(xs)):
            raise ShapeError(f"it merges {'exactly' if self.most else 'at least'} 2 inputs, but got {len(xs)}")
        shape = tuple(xs[0])
        for x in xs[1:]:
            if len(x) != len(shape):
                raise ShapeError(f"inputs must have equally many axes, {len(shape)} and {len(x)} differ: reshape one of them")
            if any(m != n and m not in (1, None) and n not in (1, None) for m, n in zip(shape, x, strict=True)):
                raise ShapeError(f"{shape} and {tuple(x)} cannot be merged: axes must be equal, or 1 in one of them")
            union = tuple(_longer(m, n) for m, n in zip(shape, x, strict=True))
            if None not in (*shape, *x):
                grouped((2, *shape), (2, *x))
            shape = union
        return shape

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (3, 5, 2), (3, 5, 2)
        yield cls(), (1, 1, 3), (3, 2, 3)  # as in squeeze-and-excite
        yield cls(), (3, 1, 2), (1, 3, 1)
        yield cls(), (1,), (5,)
        yield cls(), (7,), (7,)
        if cls.most is None:
            yield cls(), (3, 3, 2), (3, 3, 2), (3, 3, 2)
            yield cls(), (2, 1, 3), (2, 3, 3), (1, 1, 1), (2, 3, 1)


def _longer(m: int | None, n: int | None) -> int | None:
    if m == n or n == 1:
        return m
    return n if m == 1 or m is None else m


def merge(step: Any, operation: Callable, a: Any, b: Any, *fields: float) -> Any:
    """Note y = operation(a, b, *fields); returns the new buffer. Axes of one element stretch."""
    name = operation.__name__
    if a.shape == b.shape:
        return step.run(equal(operation, name), a, b, fields, out=step.like(a))
    shapes = grouped(a.shape, b.shape)
    y = step.run(stretched(operation, name), a.reshape(*shapes[0]), b.reshape(*shapes[1]), fields, out=step.new(*shapes[2]))
    return y.reshape(*(max(m, n) for m, n in zip(a.shape, b.shape, strict=True)))


def shrink(step: Any, gradient: Any, like: Any) -> Any:
    """Note the sum of a gradient over the axes along which `like` was stretched; the gradient itself if it was not."""
    if gradient.shape == like.shape:
        return gradient
    large, small, _ = grouped(gradient.shape, like.shape)
    return step.run(sum_stretched, gradient.reshape(*large), out=step.new(*small)).reshape(*like.shape)
