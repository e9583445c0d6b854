"""Numbers that lie a pitch apart in an array, read without a call that the array is passed to.

numbers = column(x, i, count, pitch)     (x.flat[i], x.flat[i + pitch], …), a tuple of `count` (a constant) numbers

A function that takes an array counts references to it, and LLVM leaves a loop with such calls scalar. (Numba removes the calls, but in kernels that
have arrays of their own only after LLVM has looked at their loops.)
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import _pointer

__all__ = ["column"]


@intrinsic(prefer_literal=True)
def column(typingctx, x, i, count, pitch):
    """(x.flat[i], x.flat[i + pitch], …): `count` numbers as a tuple."""
    kind, size = types.UniTuple(x.dtype, count.literal_value) if count.literal_value else types.Tuple(()), count.literal_value

    def codegen(context, builder, sig, args):
        array, at, _, step = args
        first = _pointer(context, builder, sig.args[0], array, at)
        places = [builder.gep(first, [builder.mul(step, ir.Constant(step.type, k))]) for k in range(size)]
        return context.make_tuple(builder, sig.return_type, [builder.load(place) for place in places])

    return kind(x, types.int64, count, types.int64), codegen


if INTERPRETED:

    def column(x, i, count, pitch):
        return tuple(x.reshape(-1)[i + k * pitch] for k in range(count))
