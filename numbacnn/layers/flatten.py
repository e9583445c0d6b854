"""All axes in one."""

import math
from dataclasses import dataclass
from typing import Any

from ..graph import Shape
from ..layer import Layer


@dataclass(frozen=True)
class Flatten(Layer):
    """(N, H, W, C) -> (N, H·W·C), row by row; (N,) -> (N, 1).  No memory is copied."""

    def output_shape(self, x: Shape) -> Shape:
        return (None if None in x else math.prod(x),)

    def forward(self, step: Any) -> None:
        step.y = step.x.reshape(step.batch, *step.shape)

    def backward(self, step: Any) -> None:
        step.dx = step.dy.reshape(*step.x.shape)
