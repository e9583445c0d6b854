"""y = x * scale + offset"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..graph import Shape
from ..kernels.normalize import scale_and_shift
from ..layer import Layer, option


@dataclass(frozen=True)
class Rescaling(Layer):
    """y = x * scale + offset; each is one number, or one a channel.

    Shapes: (N, ..., C) -> the same.  Raises ShapeError where the numbers do not fit the channels.
    """

    scale: float | tuple[float, ...] = option(draw=False)
    offset: float | tuple[float, ...] = option(0.0, draw=False)

    takes_clamp = True

    def __post_init__(self):
        for name in ("scale", "offset"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(map(float, value)) if np.ndim(value) else float(value))

    def output_shape(self, x: Shape) -> Shape:
        for name in ("scale", "offset"):
            if isinstance(value := getattr(self, name), tuple) and (not x or x[-1] != len(value)):
                raise ShapeError(f"{name} has {len(value)} values for {x[-1] if x else 'no'} channels")
        return x

    def affine(self, step: Any) -> tuple:
        c = step.shape[-1:]
        return step.constant(np.broadcast_to(self.scale, c)), step.constant(np.broadcast_to(self.offset, c))

    def forward(self, step: Any) -> tuple:
        scale, shift = self.affine(step)
        scale_and_shift(step, step.x, scale, shift, step.y, step.clamp)
        return (scale,)

    def backward(self, step: Any, scale: Any) -> None:
        scale_and_shift(step, step.dy, scale, None, step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(1 / 255), (5, 4, 3)
        yield cls((2.0, -0.5, 3.0), (1.0, 0.0, -2.0)), (1, 1, 3)
        yield cls(0.5, offset=-1.0), (7,)
        yield cls((2.0, 3.0), offset=0.5), (3, 2)
