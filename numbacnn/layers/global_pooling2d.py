"""What the poolings over whole images share."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError
from ..graph import Shape
from ..layer import Layer, option

CHANNELS = 128  # that one job takes


@dataclass(frozen=True)
class GlobalPooling2D(Layer):
    """Base of GlobalAveragePooling2D and GlobalMaxPooling2D; not a layer by itself."""

    keepdims: bool = option(False)

    def output_shape(self, x: Shape) -> Shape:
        if len(x) != 3:
            raise ShapeError("images of shape (height, width, channels) are needed")
        return (1, 1, x[2]) if self.keepdims else (x[2],)

    @staticmethod
    def rows(b: Any) -> Any:
        """A batch of images [N, H, W, C] as [N, H * W, C]."""
        n, h, w, c = b.shape
        return b.reshape(n, h * w, c)

    @classmethod
    def examples(cls) -> Iterator[tuple[Any, ...]]:
        yield cls(), (5, 3, 7)
        yield cls(keepdims=True), (4, 6, 3)
        yield cls(), (1, 1, 35)
