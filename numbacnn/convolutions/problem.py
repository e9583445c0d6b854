"""What a convolution is to compute, independent of how: its geometry, and what happens to its output on the way to memory."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..graph import Shape
from ..kernels.channelwise import side_by_side
from ..kernels.convolution import Taps, data_taps, forward_taps
from ..kernels.elementwise import Scalars
from ..kernels.finish import ROOM, Function
from ..kernels.width import lanes

FREE = (-math.inf, math.inf)


class Epilogue(NamedTuple):
    """y = clamp((product + bias) * scale + shift + residual), or function(…) in the place of the clamp; what is None is left out.

    bias (C',), affine = (scale, shift) both (C',), residual like y, clamp = (lowest, highest).
    moments: whether the statistics of y's channels are wanted too (kernels/moments.py).
    function: scalar functions with their numbers (kernels/elementwise.py). A candidate that says takes_function passes limits() to kernels made for
    made_for(); for others, and for weights where it says takes_weights = False, note_product adds a launch.
    """

    bias: Any = None
    affine: tuple[Any, Any] | None = None
    residual: Any = None
    clamp: tuple[float, float] = FREE
    moments: bool = False
    function: Scalars | None = None

    def made_for(self, dtype: type) -> Function | None:
        """What a kernel must be compiled for: the function, or None where it clamps (kernels/finish.py)."""
        return None if self.function is None else (self.function.functions, self.function.places, len(self.function.weights), dtype)

    def limits(self, step: Any) -> tuple[Any, Any]:
        """What such a kernel takes as lo and hi: the clamp, or the function's fields and weights."""
        if self.function is None:
            return tuple(map(float, self.clamp))
        return self.function.fields, side_by_side(step, self.function.weights, ROOM * lanes(step.dtype))

    def vectors(self, step: Any, channels: int) -> tuple[Any, Any, Any]:
        """(bias, scale, shift) buffers, with constants for what is None."""
        zeros = step.constant(np.zeros(channels))
        scale, shift = self.affine or (step.constant(np.ones(channels)), zeros)
        return zeros if self.bias is None else self.bias, scale, shift

    def addend(self, step: Any, axes: int) -> Any:
        """The residual, or an empty constant with that many axes, which kernels take for none."""
        return step.constant(np.zeros((0,) * axes)) if self.residual is None else self.residual


@dataclass(frozen=True)
class Convolution:
    """The geometry of y[n, i, j, :] = sum over taps (u, v) of x[n, i * strides + u * dilation - low, …, :] @ kernel[u, v].

    x (batch, *image), kernel (rows, columns, image channels / groups, result channels), y (batch, *result); what lies outside of x is zero.
    transposed: the same sum's gradient by x instead, which reads an array like y and writes one like x.
    precision: what factors are rounded to before they are multiplied: "tf32" (10 bits behind the point), "bf16" (7 bits); the sums
    are float32. "float32" and "float64" mean: not at all.
    """

    batch: int
    image: Shape
    result: Shape
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    low: tuple[int, int] = (0, 0)
    groups: int = 1
    dtype: str = "float32"
    transposed: bool = False
    precision: str = "float32"

    @classmethod
    def of(cls, step: Any, image: Shape, result: Shape, kernel_size: tuple[int, int], **geometry: Any) -> "Convolution":
        """With the plan's batch size, type and precision, unless the geometry says otherwise."""
        given = {"batch": step.batch, "dtype": np.dtype(step.dtype).name, "precision": step.precision} | geometry
        return cls(image=tuple(image), result=tuple(result), kernel_size=kernel_size, **given)

    @classmethod
    def product(cls, step: Any, rows: int, inputs: int, outputs: int) -> "Convolution":
        """A matrix product: a 1x1 convolution of one image, whose pixels are the rows."""
        return cls.of(step, (1, rows, inputs), (1, rows, outputs), (1, 1), batch=1)

    @property
    def rounds(self) -> bool:
        """Whether factors are rounded."""
        return self.precision in ("tf32", "bf16")

    @property
    def transpose(self) -> "Convolution":
        return replace(self, transposed=not self.transposed)

    @property
    def source(self) -> Shape:
        """Shape of an image that is read."""
        return self.result if self.transposed else self.image

    @property
    def target(self) -> Shape:
        """Shape of an image that is written."""
        return self.image if self.transposed else self.result

    @property
    def taps(self) -> Taps:
        """Where source and target meet, as the direct kernels want it."""
        return (data_taps if self.transposed else forward_taps)(self.kernel_size, self.strides, self.dilation, self.low)

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the plain sum (borders counted as if they were inside)."""
        return self.batch * math.prod(self.result) * math.prod(self.kernel_size) * self.image[2] // self.groups

    def __str__(self):
        size = "x".join(map(str, self.kernel_size))
        extra = [f"{name} {value[0]}x{value[1]}" for name, value in (("strides", self.strides), ("dilation", self.dilation)) if value != (1, 1)]
        extra += [f"groups {self.groups}"] if self.groups > 1 else []
        shapes = (" <- " if self.transposed else " -> ").join("x".join(map(str, s)) for s in ((self.batch, *self.image), self.result))
        return ", ".join((f"{shapes} by {size}", *extra, f"padded {self.low[0]}x{self.low[1]}", self.precision if self.rounds else self.dtype))
