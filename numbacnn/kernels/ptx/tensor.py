"""Tensor cores: products of small matrices by a whole warp (PTX ISA, "Warp Level Matrix Multiply-Accumulate Instructions"; compute
capability 8.0), and the conversions that feed them.

A lane is g = lane // 4, t = lane % 4 and holds, of a = A (16 rows), b = B (8 columns), c and the result = C (16 x 8):

  mma_tf32, 8 deep   a: (g, t), (g+8, t), (g, t+4), (g+8, t+4)                b: (t, g), (t+4, g)        c: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)
  mma_bf16, 16 deep  a: (g, 2t…), (g+8, 2t…), (g, 2t+8…), (g+8, 2t+8…)      b: (2t…, g), (2t+8…, g)   c: the same
                     where … is the place and the one behind it, in one uint32, the first in its low half

The emulation adds up in float64 and rounds once; tensor cores are known to keep fewer bits in between, which the ISA leaves open.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ...simulator import WARP, SimulationError, current, exchange
from .. import rounding
from .assembly import F32, I32, assembly, compiles_to

U4, F4 = np.uint32, np.float32
_G, _T = np.divmod(np.arange(WARP), 4)
_C_ROW, _C_COLUMN = _G[:, None] + np.array([0, 0, 8, 8]), 2 * _T[:, None] + np.array([0, 1, 0, 1])
_TF32 = (_G[:, None] + np.array([0, 8, 0, 8]), _T[:, None] + np.array([0, 0, 4, 4])), (_T[:, None] + np.array([0, 4]), _G[:, None] + np.array([0, 0]))
_BF16 = (
    (_G[:, None] + np.array([0, 0, 8, 8, 0, 0, 8, 8]), 2 * _T[:, None] + np.array([0, 1, 0, 1, 8, 9, 8, 9])),
    (2 * _T[:, None] + np.array([0, 1, 8, 9]), _G[:, None] + np.array([0, 0, 0, 0])),
)


def _multiply(shape: str, kind: str) -> Any:
    """The intrinsic of one shape and type of factors."""
    text = f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32 {{$0,$1,$2,$3}},{{$4,$5,$6,$7}},{{$8,$9}},{{$10,$11,$12,$13}};"
    four, two, sums = types.UniTuple(types.uint32, 4), types.UniTuple(types.uint32, 2), types.UniTuple(types.float32, 4)

    @intrinsic
    def multiply(context, a, b, c):
        if (a, b, c) != (four, two, sums):
            raise TypingError(f"mma takes {four}, {two} and {sums}, not {a}, {b} and {c}")

        def code(context, builder, signature, args):
            given = [builder.extract_value(arg, k) for arg, count in zip(args, (4, 2, 4), strict=True) for k in range(count)]
            found = assembly(builder, ir.LiteralStructType([F32] * 4), given, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", effect=False)
            return context.make_tuple(builder, sums, [builder.extract_value(found, k) for k in range(4)])

        return sums(a, b, c), code

    return multiply


_mma_tf32, _mma_bf16 = _multiply("m16n8k8", "tf32"), _multiply("m16n8k16", "bf16")


# What ptxas makes of cvt.rna.tf32.f32, but with a result in a register of its own. Its own code adds in place, and then moves four registers
# side by side for every single mma: 245 of 550 instructions of a loop with 64 mma (sm_90, CUDA 13.5).
_NEAREST_TF32 = """{
.reg .pred special;
.reg .b32 half, bits;
.reg .f32 size;
abs.f32 size, $1;
setp.geu.f32 special, size, 0f7F800000;
selp.b32 half, 0, 4096, special;
mov.b32 bits, $1;
add.s32 $0, bits, half;
}"""


@intrinsic
def _to_tf32(context, x):
    def code(context, builder, signature, args):
        return assembly(builder, I32, args, _NEAREST_TF32, "=r,f", effect=False)

    return types.uint32(types.float32), code


@intrinsic
def _pack_bf16(context, low, high):
    def code(context, builder, signature, args):
        return assembly(builder, I32, [args[1], args[0]], "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f", effect=False)

    return types.uint32(types.float32, types.float32), code


@intrinsic
def _bits(context, x):
    def code(context, builder, signature, args):
        return builder.bitcast(args[0], I32)

    return types.uint32(types.float32), code


@intrinsic
def _from_bits(context, x):
    def code(context, builder, signature, args):
        return builder.bitcast(args[0], F32)

    return types.float32(types.uint32), code


@compiles_to(_bits)
def bits(x: Any) -> Any:
    """A float32's bits (no instruction)."""
    return F4(x).view(U4)


@compiles_to(_from_bits)
def from_bits(x: Any) -> Any:
    """The float32 with the bits of a uint32 (no instruction)."""
    return U4(x).view(F4)


@compiles_to(_to_tf32)
def to_tf32(x: Any) -> Any:
    """The bits of the nearest TensorFloat-32, ties away from zero (what cvt.rna.tf32.f32 makes); a GPU may leave anything in the lowest 13."""
    return rounding.to_tf32.py_func(F4(x).view(U4))


@compiles_to(_pack_bf16)
def pack_bf16(low: Any, high: Any) -> Any:
    """The nearest bfloat16 numbers, ties to even, in the halves of a uint32 (cvt.rn.bf16x2.f32)."""
    low, high = (rounding.to_bf16.py_func(F4(x).view(U4)) for x in (low, high))
    return high | low >> U4(16)


def _emulate(a: tuple, b: tuple, c: tuple, layout: tuple, depth: int, values: Any) -> tuple:
    heard = exchange((a, b, done := []))
    if len(heard) < WARP:
        raise SimulationError(f"mma in a warp of {len(heard)} threads: all {WARP} must take part")
    done = heard[0][2]  # the first lane that comes here multiplies for all
    if not done:
        (a_row, a_column), (b_row, b_column) = layout
        left, right = np.empty((16, depth)), np.empty((depth, 8))
        left[a_row, a_column] = values(np.array([heard[lane][0] for lane in range(WARP)], U4))
        right[b_row, b_column] = values(np.array([heard[lane][1] for lane in range(WARP)], U4))
        done.append((left @ right)[_C_ROW, _C_COLUMN])
    return tuple(map(F4, done[0][current().lane] + np.array(c, np.float64)))


def _from_tf32(bits: np.ndarray) -> np.ndarray:
    finite = bits & U4(0x7F800000) != U4(0x7F800000)
    if (bits[finite] & U4(0x1FFF)).any():
        raise SimulationError("mma_tf32 of numbers with more than 10 bits behind the point: what comes out is undefined; take to_tf32")
    return bits.view(F4)


def _from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.view("<u2").astype(U4) << U4(16)).view(F4)


@compiles_to(_mma_tf32)
def mma_tf32(a: tuple, b: tuple, c: tuple) -> tuple:
    """c + A @ B of TensorFloat-32 numbers (mma.m16n8k8), 4, 2 and 4 values a lane as above; a and b are bits (to_tf32)."""
    return _emulate(a, b, c, _TF32, 8, _from_tf32)


@compiles_to(_mma_bf16)
def mma_bf16(a: tuple, b: tuple, c: tuple) -> tuple:
    """c + A @ B of bfloat16 numbers (mma.m16n8k16), 4, 2 and 4 values a lane as above; a and b are pairs (pack_bf16)."""
    return _emulate(a, b, c, _BF16, 16, _from_bf16)
