"""Layers that end or hang the process that they run in, and one behind them that is sound."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from numba import carray, types
from numba.extending import intrinsic

from numbacnn.jit import kernel, prange
from numbacnn.layer import Layer


@intrinsic
def pointer(typingctx, address):
    """void * of an integer."""
    return types.voidptr(types.uintp), lambda context, builder, signature, args: builder.inttoptr(args[0], context.get_value_type(types.voidptr))


@kernel(flat=True)
def copy(x, y):
    for i in prange(y.size):
        y[i] = x[i]


@kernel(flat=True)
def far_out(x, y):
    raw = carray(pointer(y.ctypes.data), (1 << 45,), y.dtype)
    for i in prange(y.size):
        y[i] = x[i]
        raw[(i + 1) << 40] = 0


@dataclass(frozen=True)
class Crashes(Layer):
    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        step.run(far_out, step.x, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(copy, step.dy, out=step.dx)


@dataclass(frozen=True)
class Hangs(Layer):
    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        time.sleep(600)


@dataclass(frozen=True)
class Sound(Layer):
    contract: ClassVar[int] = 1

    def forward(self, step: Any) -> None:
        step.run(copy, step.x, out=step.y)

    def backward(self, step: Any) -> None:
        step.run(copy, step.dy, out=step.dx)
