"""Images without their borders."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError
from ..graph import Shape
from ..kernels.pad import crop, pad
from ..layer import Layer, option
from .zero_padding2d import borders, corner, image, rows


@dataclass(frozen=True)
class Cropping2D(Layer):
    """Cuts rows and columns off images.

    cropping: n on all sides, (rows, columns) on both, or ((top, bottom), (left, right)).
    Shapes: (N, H, W, C) -> (N, H - top - bottom, W - left - right, C).
    """

    cropping: tuple[tuple[int, int], tuple[int, int]] | tuple[int, int] | int = option(((0, 0), (0, 0)), values=(0, (1, 0), ((0, 1), (0, 0)), ((1, 0), (1, 1))))

    def __post_init__(self):
        borders(self, "cropping")

    def output_shape(self, x: Shape) -> Shape:
        h, w, c = image(x)
        h, w = (None if n is None else n - sum(side) for n, side in zip((h, w), self.cropping, strict=True))
        if (h is not None and h < 1) or (w is not None and w < 1):
            raise ShapeError(f"cropping={self.cropping} leaves nothing of it")
        return h, w, c

    def forward(self, step: Any) -> None:
        step.run(crop, rows(step.x), *corner(step, self.cropping), out=rows(step.y))

    def backward(self, step: Any) -> None:
        step.run(pad, rows(step.dy), *corner(step, self.cropping), out=rows(step.dx))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (1, 1, 3)
        yield cls(1), (3, 5, 2)
        yield cls((0, 1)), (5, 3, 1)
        yield cls(((1, 0), (2, 3))), (4, 7, 5)
