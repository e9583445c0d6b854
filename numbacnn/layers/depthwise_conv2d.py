"""Depthwise 2-D convolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..convolutions import Convolution, Epilogue, note_product, note_weight_gradient
from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..kernels.padding import borders, output_size
from ..layer import Activation, Initial, Layer, Penalty, Weight, choice, option, pair, positive
from .conv2d import image_shape


@dataclass(frozen=True)
class DepthwiseConv2D(Layer):
    """Convolves each channel with kernels of its own (Howard et al., MobileNets, 2017).

    Shapes: (N, H, W, C) -> (N, H', W', C * depth_multiplier), H' as for Conv2D; output channel c * depth_multiplier + m is
    the m-th filter of channel c.  Weights: kernel (rows, columns, C, depth_multiplier), bias (C * depth_multiplier).
    """

    kernel_size: tuple[int, int] | int = option(low=1, high=4)
    strides: tuple[int, int] | int = option((1, 1), low=1, high=3)
    padding: Literal["valid", "same"] = "valid"
    depth_multiplier: int = option(1, low=1, high=3)
    dilation_rate: tuple[int, int] | int = option((1, 1), low=1, high=2)
    activation: Activation = None
    use_bias: bool = True
    depthwise_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    depthwise_regularizer: Penalty = None
    bias_regularizer: Penalty = None

    takes_padding: ClassVar[bool] = True
    takes_affine: ClassVar[bool] = True
    takes_clamp: ClassVar[bool] = True
    takes_function: ClassVar[bool] = True
    gives_moments: ClassVar[bool] = True

    def __post_init__(self):
        pair(self, "kernel_size", "strides", "dilation_rate")
        positive(self, "depth_multiplier")
        choice(self, "padding", "valid", "same")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(f"DepthwiseConv2D: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both be above 1")

    def output_shape(self, x: Shape) -> Shape:
        image_shape(x)
        sizes = zip(x, self.kernel_size, self.strides, self.dilation_rate, strict=False)
        h, w = (output_size(n, k, s, d, self.padding) for n, k, s, d in sizes)
        if (h is not None and h < 1) or (w is not None and w < 1):
            raise ShapeError(f'kernel_size={self.kernel_size} with dilation_rate={self.dilation_rate} does not fit in; use padding="same" or a larger input')
        return h, w, x[2] * self.depth_multiplier

    def weights(self, x: Shape) -> dict[str, Weight]:
        kernel = Weight((*self.kernel_size, x[2], self.depth_multiplier), self.depthwise_initializer, regularizer=self.depthwise_regularizer)
        bias = Weight((x[2] * self.depth_multiplier,), self.bias_initializer, regularizer=self.bias_regularizer)
        return {"kernel": kernel, "bias": bias} if self.use_bias else {"kernel": kernel}

    def problem(self, step: Any) -> Convolution:
        """As of a Conv2D with a group for each channel."""
        sides = zip(step.x.shape[1:], step.padding, self.kernel_size, self.strides, self.dilation_rate, strict=False)
        low = tuple(pad[0] + borders(n + sum(pad), k, s, d, self.padding)[0] for n, pad, k, s, d in sides)
        image = step.x.shape[1:]
        geometry = {"strides": self.strides, "dilation": self.dilation_rate, "low": low, "groups": image[2]}
        return Convolution.of(step, image, step.shape, self.kernel_size, **geometry)

    def forward(self, step: Any) -> None:
        epilogue = Epilogue(step.w.bias if self.use_bias else None, step.affine, None, step.clamp, step.wants_moments, step.function)
        step.moments = note_product(step, self.problem(step), step.x, self._grouped(step.w.kernel), epilogue, step.y)

    def backward(self, step: Any) -> None:
        problem = self.problem(step)
        note_product(step, problem.transpose, step.dy, self._grouped(step.w.kernel), Epilogue(), step.dx)
        note_weight_gradient(step, problem, step.x, step.dy, self._grouped(step.dw.kernel), step.dw.bias if self.use_bias else step.new(step.shape[2]))

    @staticmethod
    def _grouped(kernel: Any) -> Any:
        """The kernel as that Conv2D's, whose groups have one channel each."""
        return kernel.reshape(*kernel.shape[:2], 1, kernel.shape[2] * kernel.shape[3])

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(3, padding="same"), (5, 7, 3)
        yield cls((3, 2), 2, "same", use_bias=False), (6, 5, 9)
        yield cls(3, (2, 3), depth_multiplier=2, activation="relu"), (7, 7, 4)
        yield cls((2, 3), dilation_rate=(2, 1), padding="same"), (5, 4, 17)
        yield cls(3, dilation_rate=2, depth_multiplier=3), (7, 6, 2)
        yield cls(5, padding="same"), (1, 1, 1)
        yield cls(4, strides=3, padding="same"), (7, 2, 21)
        yield cls(1, strides=2), (5, 4, 16)
        yield cls(3, depthwise_initializer="he_normal", bias_initializer="ones", depthwise_regularizer="l2", bias_regularizer="l1"), (4, 4, 3)
