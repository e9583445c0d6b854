"""BlurPool2D: pooling that blurs before it takes every n-th pixel, so that a shifted image gives a shifted result.

Reference: Zhang, Making convolutional networks shift-invariant again, 2019. Its blur is binomial; borders are mirrored, and the result has
ceil(size / stride) pixels. The kernels, for CPUs and GPUs, are in numbacnn_blurpool_kernels.py.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numbacnn_blurpool_kernels import blur, blur_backward

from numbacnn import ConfigError, Layer, ShapeError, option
from numbacnn.layer import pair


@dataclass(frozen=True)
class BlurPool2D(Layer):
    """Every strides-th pixel of the image, blurred by the outer product of a row of Pascal's triangle with itself.

    filter_size  taps of the blur along each axis, 1 to 7: 2 is [1 1] / 2, 3 is [1 2 1] / 4, 4 is [1 3 3 1] / 8; 1 does not blur
    strides      pixels from one place to the next, for rows and columns

    Shapes: (N, H, W, C) -> (N, ceil(H / strides), ceil(W / strides), C); borders are mirrored without repeating the outermost pixel.
    Behind MaxPooling2D(2, strides=1, padding="same") it makes the paper's MaxBlurPool; in the place of a stride, behind a convolution with stride 1.
    Raises ConfigError for other sizes and strides below 1, ShapeError where the input is no image.
    """

    contract: ClassVar[int] = 1  # the version of numbacnn's contract that this was written for

    filter_size: int = option(3, low=1, high=5)
    strides: tuple[int, int] | int = option((2, 2), low=1, high=3)

    def __post_init__(self):
        if isinstance(self.filter_size, bool) or self.filter_size not in range(1, 8):
            raise ConfigError(f"BlurPool2D: filter_size={self.filter_size!r} must be an integer from 1 to 7")
        pair(self, "strides")

    def output_shape(self, x: tuple) -> tuple:
        if len(x) != 3:
            raise ShapeError("it takes images (height, width, channels)")
        return (*(None if n is None else -(-n // s) for n, s in zip(x, self.strides, strict=False)), x[2])

    def taps(self) -> np.ndarray:
        """The blur along one axis; its sum is 1."""
        return np.array([math.comb(self.filter_size - 1, k) for k in range(self.filter_size)]) / 2 ** (self.filter_size - 1)

    def multiply_adds(self, x: tuple) -> int:
        height, width, channels = self.output_shape(x)
        return height * (x[1] + width) * channels * self.filter_size

    def forward(self, step: Any) -> None:
        n, height, width, channels = step.x.shape
        rows, columns, _ = step.shape
        taps, low, blurred = step.constant(self.taps()), (self.filter_size - 1) // 2, step.new(n, rows, width, channels)
        step.run(blur, step.x.reshape(n, height, width * channels), taps, self.strides[0], low, out=blurred.reshape(n, rows, width * channels))
        step.run(blur, blurred.reshape(n * rows, width, channels), taps, self.strides[1], low, out=step.y.reshape(n * rows, columns, channels))

    def backward(self, step: Any) -> None:
        n, height, width, channels = step.x.shape
        rows, columns, _ = step.shape
        taps, low, slopes = step.constant(self.taps()), (self.filter_size - 1) // 2, step.new(n, rows, width, channels)
        step.run(blur_backward, step.dy.reshape(n * rows, columns, channels), taps, self.strides[1], low, out=slopes.reshape(n * rows, width, channels))
        step.run(blur_backward, slopes.reshape(n, rows, width * channels), taps, self.strides[0], low, out=step.dx.reshape(n, height, width * channels))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        """(layer, input shape) for tests."""
        yield cls(), (6, 7, 3)
        yield cls(4), (5, 8, 5)
        yield cls(2, strides=(1, 3)), (4, 5, 2)
        yield cls(5, strides=1), (2, 1, 4)  # the image is smaller than the blur
        yield cls(1), (3, 4, 1)
        yield cls(7, strides=3), (9, 3, 35)
