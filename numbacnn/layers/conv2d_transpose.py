"""2-D transposed convolution."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..convolutions import Convolution, Epilogue, note_product, note_weight_gradient
from ..errors import ConfigError, ShapeError
from ..graph import Shape
from ..kernels.reduce import channel_sums
from ..layer import Activation, Initial, Layer, Penalty, Weight, choice, option, pair, positive
from .conv2d import image_shape


@dataclass(frozen=True)
class Conv2DTranspose(Layer):
    """The gradient of a convolution by its input, as a layer: it enlarges images by its strides (Dumoulin and Visin, 2016).

    Shapes: (N, H, W, C) -> (N, H', W', filters), H' = H * stride with padding="same", H * stride + max(kernel - stride, 0) with
    "valid". output_padding (below the stride) gives (H - 1) * stride + kernel - 2 * border + output_padding instead, border = kernel // 2
    with "same" and 0 with "valid"; kernel counts its dilation.
    Weights: kernel (rows, columns, filters, C), bias (filters).
    """

    filters: int = option(low=1, high=9)
    kernel_size: tuple[int, int] | int = option(low=1, high=4)
    strides: tuple[int, int] | int = option((1, 1), low=1, high=3)
    padding: Literal["valid", "same"] = "valid"
    output_padding: tuple[int, int] | int | None = option(None, values=(None, 0, (0, 1)))
    dilation_rate: tuple[int, int] | int = option((1, 1), low=1, high=2)
    activation: Activation = None
    use_bias: bool = True
    kernel_initializer: Initial = "glorot_uniform"
    bias_initializer: Initial = "zeros"
    kernel_regularizer: Penalty = None
    bias_regularizer: Penalty = None

    takes_affine: ClassVar[bool] = True
    takes_residual: ClassVar[bool] = True
    takes_clamp: ClassVar[bool] = True
    takes_function: ClassVar[bool] = True
    takes_dx_residual: ClassVar[bool] = True

    def __post_init__(self):
        pair(self, "kernel_size", "strides", "dilation_rate")
        positive(self, "filters")
        choice(self, "padding", "valid", "same")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(f"Conv2DTranspose: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both be above 1")
        if self.output_padding is not None:
            pair(self, "output_padding", low=0)
            if any(o >= s for o, s in zip(self.output_padding, self.strides, strict=True)):
                raise ConfigError(f"Conv2DTranspose: output_padding={self.output_padding} must be below strides={self.strides}")

    def axis(self, n: int | None, axis: int) -> tuple[int | None, int]:
        """(size of the output, how many of its places are cut off before the first) along axis 0 or 1."""
        k, s = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1, self.strides[axis]
        same = self.padding == "same"
        if self.output_padding is None:
            low, more = max(k - s, 0) // 2, 0 if same else max(k - s, 0)
        else:
            border = k // 2 if same else 0
            low, more = max(2 * border - self.output_padding[axis], 0) // 2, k - 2 * border + self.output_padding[axis] - s
        return None if n is None else n * s + more, low if same else 0

    def output_shape(self, x: Shape) -> Shape:
        image_shape(x)
        h, w = self.axis(x[0], 0)[0], self.axis(x[1], 1)[0]
        if (h is not None and h < 1) or (w is not None and w < 1):
            raise ShapeError(f"nothing is left with output_padding={self.output_padding}; increase it or use a larger input")
        return h, w, self.filters

    def weights(self, x: Shape) -> dict[str, Weight]:
        kernel = Weight((*self.kernel_size, self.filters, x[2]), self.kernel_initializer, regularizer=self.kernel_regularizer)
        bias = Weight((self.filters,), self.bias_initializer, regularizer=self.bias_regularizer)
        return {"kernel": kernel, "bias": bias} if self.use_bias else {"kernel": kernel}

    def problem(self, step: Any) -> Convolution:
        """The convolution whose gradient by its input this layer computes: it makes images like x from images like y."""
        low = self.axis(None, 0)[1], self.axis(None, 1)[1]
        geometry = {"strides": self.strides, "dilation": self.dilation_rate, "low": low}
        return Convolution.of(step, step.shape, step.x.shape[1:], self.kernel_size, **geometry)

    def forward(self, step: Any) -> None:
        epilogue = Epilogue(step.w.bias if self.use_bias else None, step.affine, step.residual, step.clamp, function=step.function)
        note_product(step, self.problem(step).transpose, step.x, step.w.kernel, epilogue, step.y)

    def backward(self, step: Any) -> None:
        problem = self.problem(step)
        note_product(step, problem, step.dy, step.w.kernel, Epilogue(residual=step.dx_residual), step.dx)
        note_weight_gradient(step, problem, step.dy, step.x, step.dw.kernel, step.new(step.x.shape[3]))
        if self.use_bias:
            channel_sums(step, step.dy, step.dw.bias)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(5, 3, 2, "same"), (3, 4, 2)
        yield cls(3, 3, activation="relu"), (4, 3, 5)
        yield cls(2, 4, (2, 3), "same", use_bias=False), (2, 3, 9)
        yield cls(4, 2, 3), (3, 2, 3)
        yield cls(3, (3, 2), 2, "same", 1), (3, 2, 4)
        yield cls(3, 3, 2, "valid", (0, 1)), (2, 3, 4)
        yield cls(2, (2, 3), dilation_rate=2, padding="same"), (4, 5, 3)
        yield cls(17, 2, 2), (1, 1, 1)
        yield cls(3, 3, 2, kernel_initializer="he_normal", bias_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1"), (2, 2, 3)
