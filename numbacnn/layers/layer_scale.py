"""y = x * gamma, with a learned factor for each channel"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..graph import Shape
from ..init import Constant
from ..layer import Elementwise, PerChannel, Weight, option


@dataclass(frozen=True)
class LayerScale(Elementwise):
    """A learned factor for each channel, which starts small, so that a residual branch begins as nearly nothing.

    init_values     where every factor starts
    projection_dim  the number of channels, which the input must then have; None: whatever it has

    Shapes: (N, ..., C) -> the same.  Weight gamma (C,).  Raises ShapeError for another number of channels.
    Reference: Touvron et al., Going deeper with image transformers, 2021; in ConvNeXt (Liu et al., 2022) behind each block.
    """

    init_values: float = option(1e-6, low=0.1, high=1.0)
    projection_dim: int | None = option(None, draw=False)

    gamma = PerChannel()

    def output_shape(self, x: Shape) -> Shape:
        super().output_shape(x)
        if self.projection_dim not in (None, x[-1]):
            raise ShapeError(f"projection_dim={self.projection_dim} is not the input's number of channels, {x[-1]}")
        return x

    def weights(self, x: Shape) -> dict[str, Weight]:
        return {"gamma": Weight(self.output_shape(x)[-1:], Constant(float(self.init_values)))}

    def affine(self, step: Any) -> tuple:
        return step.w.gamma, step.constant(np.zeros(step.shape[-1]))

    @staticmethod
    def f(x, gamma):
        return x * gamma

    @staticmethod
    def df(gamma):
        return gamma

    @staticmethod
    def df_gamma(x):
        return x

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(0.5, projection_dim=9), (1, 1, 9)
        yield cls(1.0), (7,)
        yield cls(0.1), (3, 35)
