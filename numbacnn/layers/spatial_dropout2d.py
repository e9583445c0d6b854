"""Random channels of zeros while training"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError
from ..graph import Shape
from ..layer import Layer, option
from . import dropout
from .identity import Identity


@dataclass(frozen=True)
class SpatialDropout2D(Layer):
    """In training, sets each channel of each image to zero with probability `rate` and multiplies the others by 1 / (1 - rate).

    rate   0 ≤ rate < 1

    Shapes: (N, H, W, C) -> the same.  Raises ConfigError for a bad rate.
    Reference: Tompson et al., Efficient object localization using convolutional networks, 2015.
    """

    rate: float = option(0.5, low=0.0, high=0.9)

    def __post_init__(self):
        dropout.check_rate(self)

    def inference(self) -> Layer:
        return Identity()

    def output_shape(self, x: Shape) -> Shape:
        if len(x) != 3:
            raise ShapeError(f"it takes images of 3 axes (height, width, channels), not {len(x)}; Dropout takes any shape")
        return x

    def forward(self, step: Any) -> tuple:
        return dropout.forward(step, self.rate, (None, 1, 1, None))

    def backward(self, step: Any, *mask: Any) -> None:
        dropout.backward(step, self.rate, *mask)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)
        yield cls(rate=0.3), (1, 1, 11)
        yield cls(rate=0.0), (3, 2, 5)
