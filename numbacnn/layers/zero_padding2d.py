"""Zeros around images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..kernels.pad import crop, pad
from ..layer import Layer, option


def borders(layer: Layer, name: str) -> None:
    """For __post_init__: an int, (rows, columns) or ((top, bottom), (left, right)) becomes the last of these."""
    value = getattr(layer, name)
    sides = (value, value) if isinstance(value, int) else value
    try:
        sides = tuple((side, side) if isinstance(side, int) else tuple(side) for side in sides)
    except TypeError:
        sides = ()
    if len(sides) != 2 or not all(len(side) == 2 and all(isinstance(n, int) and n >= 0 for n in side) for side in sides):
        raise ConfigError(f"{type(layer).__name__}: {name}={value!r} must be n, (rows, columns) or ((top, bottom), (left, right)), integers of at least 0")
    object.__setattr__(layer, name, sides)


def image(x: Shape) -> Shape:
    """The shape, if it is an image's."""
    if len(x) != 3:
        raise ShapeError(f"it takes images (height, width, channels), not {len(x)} axes")
    return x


def rows(buffer: Any) -> Any:
    """A view of images (N, H, W, C) as (N, H, W·C)."""
    n, h, w, c = buffer.shape
    return buffer.reshape(n, h, w * c)


def corner(step: Any, sides: Any) -> tuple[int, int]:
    """The row, and the element of it, at which the smaller image begins."""
    return sides[0][0], sides[1][0] * step.x.shape[3]


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Rows and columns of zeros around images.

    padding: n on all sides, (rows, columns) on both, or ((top, bottom), (left, right)).
    Shapes: (N, H, W, C) -> (N, top + H + bottom, left + W + right, C).
    """

    padding: tuple[tuple[int, int], tuple[int, int]] | tuple[int, int] | int = option((1, 1), values=(0, 2, (1, 0), ((0, 1), (2, 0))))

    def __post_init__(self):
        borders(self, "padding")

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self.padding

    def output_shape(self, x: Shape) -> Shape:
        h, w, c = image(x)
        (top, bottom), (left, right) = self.padding
        return None if h is None else top + h + bottom, None if w is None else left + w + right, c

    def forward(self, step: Any) -> None:
        step.run(pad, rows(step.x), *corner(step, self.padding), out=rows(step.y))

    def backward(self, step: Any) -> None:
        step.run(crop, rows(step.dy), *corner(step, self.padding), out=rows(step.dx))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (3, 5, 2)
        yield cls(2), (1, 1, 3)
        yield cls((0, 3)), (5, 3, 1)
        yield cls(((1, 0), (2, 3))), (4, 3, 5)
