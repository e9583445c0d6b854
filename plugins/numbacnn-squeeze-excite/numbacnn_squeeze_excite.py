"""SqueezeExcite: each channel of an image is scaled by a gate that the means of all its channels decide on.

Reference: Hu, Shen, Sun, Squeeze-and-excitation networks, 2018. The kernels, for CPUs and GPUs, are in numbacnn_squeeze_excite_kernels.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from numbacnn_squeeze_excite_kernels import excite, gate_gradients, input_gradient, pixel_means, scale, unexcite, weight_gradients

from numbacnn import Layer, ShapeError, Weight, option
from numbacnn.layer import positive


@dataclass(frozen=True)
class SqueezeExcite(Layer):
    """y = x * sigmoid(relu(means of x over the pixels @ reduce + its bias) @ expand + its bias).

    ratio  how many times fewer hidden units than channels there are; at least one is left

    Shapes: (N, H, W, C) -> the same.  Weights, R = max(1, C // ratio): reduce_kernel (C, R), reduce_bias (R,), expand_kernel (R, C),
    expand_bias (C,).  Raises ConfigError for a ratio below 1, ShapeError where the input is no image or C is not known.
    """

    contract: ClassVar[int] = 1  # the version of numbacnn's contract that this was written for

    ratio: int = option(16, low=1, high=4)

    def __post_init__(self):
        positive(self, "ratio")

    def output_shape(self, x: tuple) -> tuple:
        if len(x) != 3 or x[2] is None:
            raise ShapeError("it takes images (height, width, channels), the number of channels known")
        return x

    def weights(self, x: tuple) -> dict[str, Weight]:
        channels = self.output_shape(x)[2]
        units = max(1, channels // self.ratio)
        return {
            "reduce_kernel": Weight((channels, units), "he_normal"),
            "reduce_bias": Weight((units,), decay=False),
            "expand_kernel": Weight((units, channels), "glorot_uniform"),
            "expand_bias": Weight((channels,), decay=False),
        }

    def multiply_adds(self, x: tuple) -> int:
        """The two matrices work once an image, the gates once a number."""
        height, width, channels = self.output_shape(x)
        return 2 * channels * max(1, channels // self.ratio) + height * width * channels

    def forward(self, step: Any) -> tuple:
        n, height, width, channels = step.x.shape
        units = step.w.reduce_bias.shape[0]
        means = step.run(pixel_means, step.x, 1 / (height * width), out=step.new(n, channels))
        weights = step.w.reduce_kernel, step.w.reduce_bias, step.w.expand_kernel, step.w.expand_bias
        hidden, gates = step.new(n, units), step.new(n, channels)
        step.run(excite, means, *weights, out=(hidden, gates))
        step.run(scale, step.x, gates, out=step.y)
        return means, hidden, gates  # backward gets them

    def backward(self, step: Any, means: Any, hidden: Any, gates: Any) -> None:
        _, height, width, _ = step.x.shape
        dgates = step.run(gate_gradients, step.x, step.dy, gates, out=step.like(gates))
        dhidden, dmeans = step.like(hidden), step.like(means)
        step.run(unexcite, dgates, hidden, step.w.reduce_kernel, step.w.expand_kernel, 1 / (height * width), out=(dhidden, dmeans))
        step.run(input_gradient, step.dy, gates, dmeans, out=step.dx)
        step.run(weight_gradients, means, dhidden, out=(step.dw.reduce_kernel, step.dw.reduce_bias))
        step.run(weight_gradients, hidden, dgates, out=(step.dw.expand_kernel, step.dw.expand_bias))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        """(layer, input shape) for tests."""
        yield cls(ratio=4), (5, 4, 8)
        yield cls(), (3, 2, 5)
        yield cls(ratio=1), (1, 1, 3)
        yield cls(ratio=8), (7, 3, 35)
