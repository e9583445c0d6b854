"""Whole numbers of 32 bits: a GPU divides those of 64 by a long routine, which Numba would take."""

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ...simulator import SimulationError
from .assembly import I32, compiles_to


@intrinsic
def _divide(context, a, b):
    result = types.UniTuple(types.int64, 2)

    def code(context, builder, signature, args):
        left, right = (context.cast(builder, value, kind, types.uint32) for value, kind in zip(args, (a, b), strict=True))
        quotient = builder.udiv(left, right)
        rest = builder.sub(left, builder.mul(quotient, right))
        assert quotient.type == I32
        return context.make_tuple(builder, result, [context.cast(builder, v, types.uint32, types.int64) for v in (quotient, rest)])

    return result(a, b), code


@compiles_to(_divide)
def divide(a: Any, b: Any) -> tuple:
    """(a // b, a % b) for 0 ≤ a < 2^32, 0 < b < 2^32."""
    if not (0 <= a < 1 << 32 and 0 < b < 1 << 32):
        raise SimulationError(f"divide({a}, {b}): it takes what fits 32 bits without a sign")
    return int(a) // int(b), int(a) % int(b)
