"""Layers with one fault each, for the examination to find."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from numbacnn.jit import cuda, kernel, prange
from numbacnn.layer import Elementwise, Layer, Weight, option


@intrinsic
def pointer(typingctx, address):
    """void * of an integer."""
    return types.voidptr(types.uintp), lambda context, builder, signature, args: builder.inttoptr(args[0], context.get_value_type(types.voidptr))


@kernel(flat=True)
def copy(x, y):
    for i in prange(y.size):
        y[i] = x[i]


class Copy:
    """Copies in both directions, with the kernels that the class names."""

    ahead = back = copy

    def forward(self, step: Any) -> None:
        step.run(self.ahead, step.x, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(self.back, step.dy, out=step.dx)


@dataclass(frozen=True)
class Sound(Copy, Layer):
    """Nothing is wrong with it."""

    contract: ClassVar[int] = 1


@dataclass(frozen=True)
class NoContract(Copy, Layer):
    pass


@dataclass(frozen=True)
class WrongContract(Copy, Layer):
    contract: ClassVar[int] = 7


@dataclass(frozen=True)
class WrongGradient(Elementwise):
    contract: ClassVar[int] = 1

    @staticmethod
    def f(x):
        return x * x * x

    @staticmethod
    def df(x):
        return 3.0 * x * x + 1e-4


@dataclass(frozen=True)
class NoGradient(Copy, Layer):
    contract: ClassVar[int] = 1

    def backward(self, step: Any) -> None:
        pass


@dataclass(frozen=True)
class WrongShape(Copy, Layer):
    contract: ClassVar[int] = 1

    def output_shape(self, x):
        return (*x[:-1], x[-1] + 1)

    def forward(self, step: Any) -> None:
        step.y = step.new(*step.x.shape)
        step.run(copy, step.x, out=step.y)


@dataclass(frozen=True)
class CannotBeStored(Copy, Layer):
    contract: ClassVar[int] = 1
    table: dict = field(default_factory=dict, hash=False)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        yield cls(), (4, 5, 3)


@dataclass(frozen=True)
class NoExamples(Copy, Layer):
    contract: ClassVar[int] = 1
    amount: float = option(1.0, low=0.0, high=1.0)


@kernel(flat=True)
def scaled(x, factor, y):
    for i in prange(y.size):
        y[i] = x[i] * factor


@dataclass(frozen=True)
class ForgetsState(Layer):
    """Its factor is no field: no file knows it."""

    contract: ClassVar[int] = 1
    rank: int = option(1, draw=False)

    def __post_init__(self):
        object.__setattr__(self, "factor", 1.0)

    def forward(self, step: Any) -> None:
        step.run(scaled, step.x, self.factor, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(scaled, step.dy, self.factor, out=step.dx)

    @classmethod
    def examples(cls) -> Iterator[tuple]:
        layer = cls()
        object.__setattr__(layer, "factor", 3.0)
        yield layer, (4, 5, 3)


@dataclass(frozen=True)
class LosesDigits(Elementwise):
    """Only numbers below 1e-3 come out as they should in float32."""

    contract: ClassVar[int] = 1

    @staticmethod
    def f(x):
        return (x * x + 1e6) * (x * x + 1e6) * 1e-6 - x * x * x * x * 1e-6 - 1e6

    @staticmethod
    def df(x):
        return 4.0 * x


@kernel(parallel=False)
def without_mean(x, y):
    """x less the mean of its batch."""
    for j in range(x.shape[1]):
        mean = x.dtype.type(0)
        for i in range(x.shape[0]):
            mean += x[i, j] / x.dtype.type(x.shape[0])
        for i in range(x.shape[0]):
            y[i, j] = x[i, j] - mean


class Rows:
    """Kernels of (batch, elements)."""

    ahead = back = copy

    def _run(self, step: Any, what: Any, x: Any, y: Any) -> None:
        size = int(np.prod(step.shape))
        step.run(what, x.reshape(step.batch, size), out=y.reshape(step.batch, size))

    def forward(self, step: Any) -> None:
        self._run(step, self.ahead, step.x, step.y)

    def backward(self, step: Any) -> None:
        self._run(step, self.back, step.dy, step.dx)


@dataclass(frozen=True)
class LooksAtOthers(Rows, Layer):
    """A sample's output depends on the other samples."""

    contract: ClassVar[int] = 1
    ahead = back = without_mean


@dataclass(frozen=True)
class NeedsSamples(Copy, Layer):
    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        step.run(scaled, step.x, float(step.x.size // step.batch // step.x.size * step.batch), out=step.y)


@kernel
def past_the_end(x, y):
    """Row by row; the last row ends one element too late."""
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = x[i, j]
        if i == x.shape[0] - 1:
            y[i, x.shape[1]] = 0


@dataclass(frozen=True)
class PastTheEnd(Rows, Layer):
    contract: ClassVar[int] = 1
    ahead = past_the_end


@kernel(flat=True)
def past_the_end_by_pointer(dy, dx):
    """An array over raw memory, which says itself that it is one element longer: no bounds check sees that."""
    raw = carray(pointer(dx.ctypes.data), (dx.size + 1,), dx.dtype)
    for i in prange(dx.size):
        raw[i] = dy[i]
        if i == dx.size - 1:
            raw[i + 1] = 0


@kernel(flat=True)
def twinned(x, y):
    for i in prange(y.size):
        y[i] = x[i]


@twinned.cuda
def forgets_the_sign(x, y):
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        y[i] = abs(x[i])


@dataclass(frozen=True)
class WrongTwin(Copy, Layer):
    contract: ClassVar[int] = 1
    ahead = twinned


@dataclass(frozen=True)
class PastTheEndByPointer(Copy, Layer):
    contract: ClassVar[int] = 1
    back = past_the_end_by_pointer


@kernel(flat=True)
def before_the_beginning(x, y):
    raw = carray(pointer(y.ctypes.data - y.itemsize), (y.size + 1,), y.dtype)
    for i in prange(y.size):
        raw[i + 1] = x[i]
        if i == 0:
            raw[0] = 0


@dataclass(frozen=True)
class BeforeTheBeginning(Copy, Layer):
    contract: ClassVar[int] = 1
    ahead = before_the_beginning


@kernel(flat=True)
def changes_input(x, y):
    for i in prange(y.size):
        y[i] = x[i]
        x[i] = -x[i]


@dataclass(frozen=True)
class ChangesInput(Copy, Layer):
    contract: ClassVar[int] = 1
    ahead = changes_input


@kernel(flat=True)
def but_the_last(x, y):
    for i in prange(y.size - 1):
        y[i] = x[i]


@dataclass(frozen=True)
class ForgetsTheLast(Copy, Layer):
    contract: ClassVar[int] = 1
    ahead = but_the_last


@kernel(flat=True)
def onto(x, y):
    for i in prange(y.size):
        y[i] += x[i]


@dataclass(frozen=True)
class AddsToNothing(Copy, Layer):
    contract: ClassVar[int] = 1
    ahead = onto


@kernel
def total(dy, dw):
    """All jobs add to one cell."""
    dw[0] = 0
    for i in prange(dy.shape[0]):
        for j in range(dy.shape[1]):
            dw[0] += dy[i, j]


@kernel
def shifted(x, w, y):
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] + w[0]


@dataclass(frozen=True)
class Races(Layer):
    contract: ClassVar[int] = 1
    summed: ClassVar[Any] = total

    def weights(self, x):
        return {"level": Weight((1,))}

    def forward(self, step: Any) -> None:
        step.run(shifted, step.x.reshape(-1, step.shape[-1]), step.w.level, out=step.y.reshape(-1, step.shape[-1]))

    def backward(self, step: Any) -> None:
        step.run(copy, step.dy, out=step.dx)
        step.run(self.summed, step.dy.reshape(-1, step.shape[-1]), out=step.dw.level)


@kernel
def total_across(dy, dw):
    """A sum over prange: each thread has one of its own, and the last one wins."""
    s = dy.dtype.type(0)
    for i in prange(dy.shape[0]):
        for j in range(dy.shape[1]):
            s += dy[i, j]
    dw[0] = s


@dataclass(frozen=True)
class SumsAcrossJobs(Races):
    contract: ClassVar[int] = 1
    summed: ClassVar[Any] = total_across


@kernel(flat=True)
def softened(x, y):
    for i in prange(y.size):
        y[i] = x[i] / (1.0 + 0.1 * x[i] * x[i])


@kernel(flat=True)
def softened_gradient(x, dy, dx):
    for i in prange(dx.size):
        q = x.dtype.type(0.1) * x[i] * x[i]
        one = x.dtype.type(1)
        dx[i] = dy[i] * (one - q) / ((one + q) * (one + q))


@dataclass(frozen=True)
class ComputesWide(Layer):
    """Its gradient is float32, its forward is not."""

    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        step.run(softened, step.x, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(softened_gradient, step.x, step.dy, out=step.dx)


@kernel(flat=True)
def one_more(x, y):
    for i in prange(y.size):
        q = 1 + x[i]
        r = x.dtype.type(2)
        y[i] = x.dtype.type(q) * r / x.size


@kernel(flat=True)
def shared_out(dy, dx):
    for i in prange(dx.size):
        dx[i] = dy[i] * 2 / dx.size


@dataclass(frozen=True)
class ComputesWithIntegers(Layer):
    """Nothing in its source looks like float64."""

    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        step.run(one_more, step.x, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(shared_out, step.dy, out=step.dx)
