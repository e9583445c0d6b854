"""2-D convolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..convolutions import Convolution, Epilogue, note_product, note_weight_gradient
from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..kernels.padding import borders, output_size
from ..layer import Activation, Initial, Layer, Penalty, Weight, choice, option, pair, positive


@dataclass(frozen=True)
class Conv2D(Layer):
    """Convolves images with learned kernels (LeCun et al., 1989), strictly a cross-correlation.

    Shapes: (N, H, W, C) -> (N, H', W', filters), H' = ceil(H / stride) with padding="same" (TensorFlow's borders: the odd
    row or column at the bottom and right) and ceil((H - (kernel - 1) * dilation) / stride) with "valid".
    Weights: kernel (rows, columns, C / groups, filters), bias (filters).
    With groups, each part of the input channels makes its own part of the filters; C and filters must be multiples.
    """

    filters: int = option(low=1, high=9)
    kernel_size: tuple[int, int] | int = option(low=1, high=4)
    strides: tuple[int, int] | int = option((1, 1), low=1, high=3)
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: tuple[int, int] | int = option((1, 1), low=1, high=2)
    groups: int = option(1, low=1, high=3)
    activation: Activation = None
    use_bias: bool = True
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Penalty = None
    bias_regularizer: Penalty = None

    takes_padding: ClassVar[bool] = True
    takes_affine: ClassVar[bool] = True
    takes_residual: ClassVar[bool] = True
    takes_clamp: ClassVar[bool] = True
    takes_function: ClassVar[bool] = True
    takes_dx_residual: ClassVar[bool] = True
    gives_moments: ClassVar[bool] = True

    def __post_init__(self):
        pair(self, "kernel_size", "strides", "dilation_rate")
        positive(self, "filters", "groups")
        choice(self, "padding", "valid", "same")
        if self.filters % self.groups:
            raise ConfigError(f"Conv2D: filters={self.filters} cannot be shared out among groups={self.groups}: choose a multiple")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(f"Conv2D: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both be above 1")

    def output_shape(self, x: Shape) -> Shape:
        image_shape(x)
        if x[2] % self.groups:
            raise ShapeError(f"its {x[2]} channels cannot be shared out among groups={self.groups}")
        sizes = zip(x, self.kernel_size, self.strides, self.dilation_rate, strict=False)
        h, w = (output_size(n, k, s, d, self.padding) for n, k, s, d in sizes)
        if (h is not None and h < 1) or (w is not None and w < 1):
            raise ShapeError(f'kernel_size={self.kernel_size} with dilation_rate={self.dilation_rate} does not fit in; use padding="same" or a larger input')
        return h, w, self.filters

    def weights(self, x: Shape) -> dict[str, Weight]:
        kernel = Weight((*self.kernel_size, x[2] // self.groups, self.filters), self.kernel_initializer, regularizer=self.kernel_regularizer)
        bias = Weight((self.filters,), self.bias_initializer, regularizer=self.bias_regularizer)
        return {"kernel": kernel, "bias": bias} if self.use_bias else {"kernel": kernel}

    def problem(self, step: Any) -> Convolution:
        sides = zip(step.x.shape[1:], step.padding, self.kernel_size, self.strides, self.dilation_rate, strict=False)
        low = tuple(pad[0] + borders(n + sum(pad), k, s, d, self.padding)[0] for n, pad, k, s, d in sides)
        geometry = {"strides": self.strides, "dilation": self.dilation_rate, "low": low, "groups": self.groups}
        return Convolution.of(step, step.x.shape[1:], step.shape, self.kernel_size, **geometry)

    def forward(self, step: Any) -> None:
        bias = step.w.bias if self.use_bias else None
        epilogue = Epilogue(bias, step.affine, step.residual, step.clamp, step.wants_moments, step.function)
        step.moments = note_product(step, self.problem(step), step.x, step.w.kernel, epilogue, step.y)

    def backward(self, step: Any) -> None:
        problem = self.problem(step)
        note_product(step, problem.transpose, step.dy, step.w.kernel, Epilogue(residual=step.dx_residual), step.dx)
        note_weight_gradient(step, problem, step.x, step.dy, step.dw.kernel, step.dw.bias if self.use_bias else step.new(self.filters))

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(5, 3, padding="same"), (5, 7, 3)
        yield cls(3, (3, 2), 2, "same", use_bias=False), (6, 5, 9)
        yield cls(17, 3, (2, 3), activation="relu"), (7, 7, 5)
        yield cls(4, (2, 3), dilation_rate=(2, 1), padding="same"), (5, 4, 2)
        yield cls(6, 3, dilation_rate=2), (7, 6, 8)
        yield cls(6, 3, groups=2, padding="same"), (4, 5, 4)
        yield cls(6, 2, groups=3, strides=2, use_bias=False), (5, 4, 3)
        yield cls(8, 1), (4, 3, 5)
        yield cls(3, 1, strides=2, padding="same"), (5, 4, 8)
        yield cls(2, 5, padding="same"), (1, 1, 1)
        yield cls(2, 4, strides=3, padding="same"), (2, 2, 9)
        yield cls(4, 3, kernel_initializer="he_normal", bias_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1"), (4, 4, 3)


def image_shape(x: Shape) -> None:
    """Raise ShapeError unless x is the shape of images with a known number of channels."""
    if len(x) != 3 or not x[2]:
        raise ShapeError("it takes images (height, width, channels)")
