"""Fully connected layer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..convolutions import Convolution, Epilogue, note_product, note_weight_gradient
from ..errors import ShapeError
from ..graph import Shape
from ..layer import Activation, Initial, Layer, Penalty, Weight, option, positive


@dataclass(frozen=True)
class Dense(Layer):
    """y = x @ kernel + bias over the last axis: every output sees every input.

    Shapes: (N, …, C) -> (N, …, units); the axes between are positions that share the weights (as Keras has it).
    Weights: kernel (C, units), bias (units).
    """

    units: int = option(low=1, high=20)
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
    gives_moments: ClassVar[bool] = True

    def __post_init__(self):
        positive(self, "units")

    def output_shape(self, x: Shape) -> Shape:
        if not x or not x[-1]:
            raise ShapeError("it needs a last axis of known size; put Flatten, Reshape or global pooling before it, or give Input a size")
        return *x[:-1], self.units

    def weights(self, x: Shape) -> dict[str, Weight]:
        kernel = Weight((x[-1], self.units), self.kernel_initializer, regularizer=self.kernel_regularizer)
        bias = Weight((self.units,), self.bias_initializer, regularizer=self.bias_regularizer)
        return {"kernel": kernel, "bias": bias} if self.use_bias else {"kernel": kernel}

    def problem(self, step: Any) -> Convolution:
        """A 1x1 convolution."""
        return Convolution.product(step, math.prod(step.x.shape[:-1]), step.x.shape[-1], self.units)

    def forward(self, step: Any) -> None:
        bias = step.w.bias if self.use_bias else None
        epilogue = Epilogue(bias, step.affine, step.residual and pixels(step.residual), step.clamp, step.wants_moments, step.function)
        step.moments = note_product(step, self.problem(step), pixels(step.x), pixels(step.w.kernel), epilogue, pixels(step.y))

    def backward(self, step: Any) -> None:
        dbias = step.dw.bias if self.use_bias else step.new(self.units)
        problem, residual = self.problem(step), step.dx_residual and pixels(step.dx_residual)
        note_product(step, problem.transpose, pixels(step.dy), pixels(step.w.kernel), Epilogue(residual=residual), pixels(step.dx))
        note_weight_gradient(step, problem, pixels(step.x), pixels(step.dy), pixels(step.dw.kernel), dbias)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(5), (7,)
        yield cls(1, use_bias=False), (1,)
        yield cls(19, activation="relu"), (5, 3)
        yield cls(20, kernel_initializer="he_normal", bias_initializer="ones", kernel_regularizer="l2", bias_regularizer="l1"), (3, 7, 5)
        yield cls(35), (37,)


def pixels(buffer: Any) -> Any:
    """The same memory as one image of one line, [1, 1, positions, last axis]."""
    return buffer.reshape(1, 1, math.prod(buffer.shape[:-1]), buffer.shape[-1])
