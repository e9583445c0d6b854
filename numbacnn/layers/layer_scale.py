"""y = x * gamma, with a learned factor for each channel"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..graph import Shape
from ..init import Constant
from ..jit import compiled
from ..kernels.normalize import scale_and_shift
from ..kernels.reduce import channel_sums
from ..layer import Layer, Weight, option
from .merging import merge


@compiled
def scaled_by(x, dy):
    return x * dy


@dataclass(frozen=True)
class LayerScale(Layer):
    """A learned factor for each channel, which starts small, so that a residual branch begins as nearly nothing.

    init_values     where every factor starts
    projection_dim  the number of channels, which the input must then have; None: whatever it has

    Shapes: (N, ..., C) -> the same.  Weight gamma (C,).  Raises ShapeError for another number of channels.
    Reference: Touvron et al., Going deeper with image transformers, 2021; in ConvNeXt (Liu et al., 2022) behind each block.
    """

    init_values: float = option(1e-6, low=0.1, high=1.0)
    projection_dim: int | None = option(None, draw=False)

    def output_shape(self, x: Shape) -> Shape:
        if not x or x[-1] is None:
            raise ShapeError("the number of channels (the last axis) must be known")
        if self.projection_dim not in (None, x[-1]):
            raise ShapeError(f"projection_dim={self.projection_dim} is not the input's number of channels, {x[-1]}")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"gamma": Weight(self.output_shape(x)[-1:], Constant(float(self.init_values)))}

    def affine(self, step: Any) -> tuple:
        return step.w.gamma, step.constant(np.zeros(step.shape[-1]))

    def forward(self, step: Any) -> None:
        scale_and_shift(step, step.x, step.w.gamma, None, step.y)

    def backward(self, step: Any) -> None:
        scale_and_shift(step, step.dy, step.w.gamma, None, step.dx)
        channel_sums(step, merge(step, scaled_by, step.x, step.dy), step.dw.gamma)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(0.5, projection_dim=9), (1, 1, 9)
        yield cls(1.0), (7,)
        yield cls(0.1), (3, 35)
