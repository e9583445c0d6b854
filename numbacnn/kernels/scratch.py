"""Memory on the stack, for kernels that work on something piece by piece.

x = scratch(like, count)     an array of one axis, count elements (a constant) of like's dtype, with anything in it

LLVM knows that nothing else points there. It leaves a loop scalar where a result may lie on an input's place, which plans like; through
scratch memory the same loop becomes vector code. A function's scratch memory is gone when it returns, and each of its calls gives the
same place: call it once, before loops.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .width import BYTES

__all__ = ["scratch"]


@intrinsic(prefer_literal=True)
def scratch(typingctx, like, count):
    """An array of one axis on the stack: `count` elements of like's dtype."""
    kind, size = types.Array(like.dtype, 1, "C"), count.literal_value

    def codegen(context, builder, sig, args):
        element = context.get_data_type(kind.dtype)
        with builder.goto_entry_block():
            place = builder.alloca(ir.ArrayType(element, size))
            place.align = BYTES
        item = context.get_constant(types.intp, context.get_abi_sizeof(element))
        array = context.make_array(kind)(context, builder)
        shape, strides = (cgutils.pack_array(builder, [value]) for value in (context.get_constant(types.intp, size), item))
        data = builder.bitcast(place, array.data.type)
        context.populate_array(array, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None)
        return array._getvalue()

    return kind(like, count), codegen


if INTERPRETED:
    import numpy as np

    def scratch(like, count):
        return np.empty(count, like.dtype)
