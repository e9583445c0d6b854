"""Ways to memory beside plain loads and stores.

prefetch(x, j)     start to bring x.flat[j] and its neighbours into the cache
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import _pointer

__all__ = ["prefetch"]

_INT32 = ir.IntType(32)


@intrinsic
def prefetch(typingctx, x, j):
    """Start to bring x.flat[j] and its neighbours into the cache; j may lie anywhere."""

    def codegen(context, builder, sig, args):
        p = builder.bitcast(_pointer(context, builder, sig.args[0], args[0], args[1]), ir.IntType(8).as_pointer())
        signature = ir.FunctionType(ir.VoidType(), [p.type, _INT32, _INT32, _INT32])
        builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0"), (p, *(ir.Constant(_INT32, n) for n in (0, 2, 1))))
        return context.get_dummy_value()

    return types.void(x, types.int64), codegen


if INTERPRETED:

    def prefetch(x, j):
        pass
