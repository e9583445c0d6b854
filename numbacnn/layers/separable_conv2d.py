"""Depthwise separable 2-D convolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError
from ..graph import Shape
from ..layer import Activation, Initial, Layer, Penalty, Weight, activation_layer, choice, option, pair, positive
from .conv2d import Conv2D
from .depthwise_conv2d import DepthwiseConv2D


@dataclass(frozen=True)
class SeparableConv2D(Layer):
    """A DepthwiseConv2D, and a 1x1 Conv2D that mixes its channels (Chollet, Xception, 2017); nothing acts between the two.

    Shapes: (N, H, W, C) -> (N, H', W', filters), H' as for Conv2D.  Weights: depthwise_kernel (rows, columns, C, depth_multiplier),
    pointwise_kernel (1, 1, C * depth_multiplier, filters), bias (filters).
    """

    filters: int = option(low=1, high=9)
    kernel_size: tuple[int, int] | int = option(low=1, high=4)
    strides: tuple[int, int] | int = option((1, 1), low=1, high=3)
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: tuple[int, int] | int = option((1, 1), low=1, high=2)
    depth_multiplier: int = option(1, low=1, high=3)
    activation: Activation = None
    use_bias: bool = True
    depthwise_initializer: Initial = "glorot_uniform"
    pointwise_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    depthwise_regularizer: Penalty = None
    pointwise_regularizer: Penalty = None
    bias_regularizer: Penalty = None

    def __post_init__(self):
        pair(self, "kernel_size", "strides", "dilation_rate")
        positive(self, "filters", "depth_multiplier")
        choice(self, "padding", "valid", "same")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(f"SeparableConv2D: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both be above 1")

    def parts(self) -> tuple[tuple[Layer, dict[str, str]], ...]:
        mix = Conv2D(self.filters, 1, use_bias=self.use_bias)
        names = {"kernel": "pointwise_kernel", **({"bias": "bias"} if self.use_bias else {})}
        last = () if self.activation in (None, "linear") else ((activation_layer(self.activation), {}),)
        return (self._depthwise, {"kernel": "depthwise_kernel"}), (mix, names), *last

    @property
    def _depthwise(self) -> DepthwiseConv2D:
        return DepthwiseConv2D(self.kernel_size, self.strides, self.padding, self.depth_multiplier, self.dilation_rate, use_bias=False)

    def output_shape(self, x: Shape) -> Shape:
        return *self._depthwise.output_shape(x)[:2], self.filters

    def weights(self, x: Shape) -> dict[str, Weight]:
        made = {
            "depthwise_kernel": Weight((*self.kernel_size, x[2], self.depth_multiplier), self.depthwise_initializer, regularizer=self.depthwise_regularizer),
            "pointwise_kernel": Weight((1, 1, x[2] * self.depth_multiplier, self.filters), self.pointwise_initializer, regularizer=self.pointwise_regularizer),
        }
        return {**made, "bias": Weight((self.filters,), self.bias_initializer, regularizer=self.bias_regularizer)} if self.use_bias else made

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(5, 3, padding="same"), (5, 7, 3)
        yield cls(3, (3, 2), 2, "same", use_bias=False), (6, 5, 9)
        yield cls(4, 3, (2, 3), depth_multiplier=2, activation="relu"), (7, 7, 4)
        yield cls(17, (2, 3), dilation_rate=(2, 1)), (5, 4, 2)
        yield cls(2, 3, padding="same"), (1, 1, 1)
        initial = {"depthwise_initializer": "he_normal", "pointwise_initializer": "lecun_normal", "bias_initializer": "ones"}
        yield cls(2, 2, **initial, depthwise_regularizer="l2", pointwise_regularizer="l1", bias_regularizer="l1"), (3, 4, 2)
