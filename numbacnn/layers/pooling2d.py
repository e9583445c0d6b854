"""What the poolings over windows share: fields, shapes, borders."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ShapeError
from ..graph import Shape
from ..kernels.padding import borders, output_size
from ..layer import Layer, choice, option, pair


@dataclass(frozen=True)
class Pooling2D(Layer):
    """Base of MaxPooling2D and AveragePooling2D; not a layer by itself."""

    pool_size: tuple[int, int] | int = option((2, 2), low=1, high=3)
    strides: tuple[int, int] | int | None = option(None, low=1, high=3)
    padding: Literal["valid", "same"] = option("valid")

    def __post_init__(self):
        pair(self, "pool_size")
        if self.strides is None:
            object.__setattr__(self, "strides", self.pool_size)
        pair(self, "strides")
        choice(self, "padding", "valid", "same")

    def output_shape(self, x: Shape) -> Shape:
        if len(x) != 3:
            raise ShapeError("images of shape (height, width, channels) are needed")
        size = tuple(output_size(n, k, s, 1, self.padding) for n, k, s in zip(x, self.pool_size, self.strides, strict=False))
        if any(n is not None and n < 1 for n in size):
            raise ShapeError(
                f"pool_size={self.pool_size} is larger than the image of {x[0]}x{x[1]} pixels: use padding='same', a smaller window or larger images"
            )
        return (*size, x[2])

    def geometry(self, x: Shape, padding: tuple = ((0, 0), (0, 0))) -> tuple[int, ...]:
        """Window, strides and low borders for a batch [N, H, W, C] in `padding`, as the kernels take them."""
        sides = zip(x[1:3], padding, self.pool_size, self.strides, strict=True)
        low = (pad[0] + borders(n + sum(pad), k, s, 1, self.padding)[0] for n, pad, k, s in sides)
        return (*self.pool_size, *self.strides, *low)

    def rows_of_a_job(self) -> int:
        """Input rows that one job of a backward kernel owns: whole strides, so that windows which do not overlap lie in one job."""
        stride = self.strides[0]
        return stride * max(1, 8 // stride)

    @classmethod
    def examples(cls) -> Iterator[tuple[Any, ...]]:
        yield cls(), (6, 4, 3)
        yield cls(2), (7, 5, 5)
        yield cls((3, 2), strides=(2, 1)), (7, 6, 2)
        yield cls(3, strides=2, padding="same"), (6, 7, 9)
        yield cls(3, strides=1, padding="same"), (1, 1, 4)
        yield cls((2, 3), padding="same"), (5, 7, 1)
        yield cls(1, strides=(2, 3)), (5, 7, 3)
        yield cls(2, strides=3, padding="same"), (7, 7, 2)
