"""The same elements in another shape."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..layer import Layer, option


@dataclass(frozen=True)
class Reshape(Layer):
    """(N, ...) -> (N, *target_shape); one axis may be -1 and takes what is left.  No memory is copied."""

    target_shape: tuple[int, ...] = option(draw=False)

    def __post_init__(self):
        given = self.target_shape
        shape = (given,) if isinstance(given, int) else tuple(given) if isinstance(given, (tuple, list)) else (0,)
        if not all(isinstance(n, int) and (n >= 1 or n == -1) for n in shape) or shape.count(-1) > 1:
            raise ConfigError(f"Reshape: target_shape={self.target_shape!r} must hold positive integers, at most one of them -1")
        object.__setattr__(self, "target_shape", shape)

    def output_shape(self, x: Shape) -> Shape:
        known = math.prod(n for n in self.target_shape if n != -1)
        size = None if None in x else math.prod(x)
        if size is not None and (size % known or (-1 not in self.target_shape and size != known)):
            raise ShapeError(f"its {size} elements do not fill target_shape={self.target_shape}")
        return tuple(n if n != -1 else None if size is None else size // known for n in self.target_shape)

    def forward(self, step: Any) -> None:
        step.y = step.x.reshape(step.batch, *step.shape)

    def backward(self, step: Any) -> None:
        step.dx = step.dy.reshape(*step.x.shape)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls((5, 6)), (3, 5, 2)
        yield cls((3, -1, 1)), (7, 3)
        yield cls((-1,)), (1, 1, 5)
