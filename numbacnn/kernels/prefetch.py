"""Asking for memory before it is needed, where the order of work hides from the CPU what comes next."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import INTERPRETED, compiled

LINE = 64  # bytes of a cache line


@intrinsic
def _prefetch(typingctx, place):
    """Start to bring the cache line at an address (int64) into the caches; any address may be given."""

    def codegen(context, builder, sig, args):
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        name = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer, number, number, number]), "llvm.prefetch.p0i8")
        read, near, data = ir.Constant(number, 0), ir.Constant(number, 3), ir.Constant(number, 1)
        builder.call(name, [builder.inttoptr(args[0], pointer), read, near, data])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@compiled
def prefetch(place, count, end):
    """Bring `count` lines from address `place` on, but none behind `end`, and return where to go on."""
    for _ in range(count):
        if place < end:
            _prefetch(place)
            place += LINE
    return place


if INTERPRETED:

    def prefetch(place, count, end):
        return place
