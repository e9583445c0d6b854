"""Register tiles with each other, number by number (kernels/tile.py has the rest): what passes over memory are made of.

a = add(a, b), less(a, b), times(a, b)     a + b, a - b, a * b; a b of one row stands for all rows
a = bound(a, lo, hi)                       min(max(a, lo), hi), NaN stays NaN
g = inside(g, a, lo, hi)                   g where lo < a < hi, else 0
stream(a, y, j)                            y.flat[j:] = a, a tile of one row, past the caches: y.flat[j] lies on a multiple of BYTES
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import BYTES, _const, _pointer, _splat

__all__ = ["add", "bound", "inside", "less", "stream", "times"]


def _each(builder, tile, make):
    """A tile like `tile`, whose n-th register is make(n)."""
    for n in range(tile.type.count):
        tile = builder.insert_value(tile, make(n), n)
    return tile


def _with(operation):
    """The code of a tile and another, register by register."""

    def codegen(context, builder, sig, args):
        a, b = args
        combine = getattr(builder, operation)
        return _each(builder, a, lambda n: combine(builder.extract_value(a, n), builder.extract_value(b, n % b.type.count)))

    return codegen


@intrinsic
def add(typingctx, a, b):
    """a + b"""
    return a(a, b), _with("fadd")


@intrinsic
def less(typingctx, a, b):
    """a - b"""
    return a(a, b), _with("fsub")


@intrinsic
def times(typingctx, a, b):
    """a * b"""
    return a(a, b), _with("fmul")


@intrinsic
def bound(typingctx, a, lo, hi):
    """min(max(a, lo), hi); the comparisons are false for NaN, which therefore stays."""

    def codegen(context, builder, sig, args):
        low, high = (_splat(builder, limit, args[0].type.element) for limit in args[1:])

        def make(n):
            value = builder.extract_value(args[0], n)
            value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
            return builder.select(builder.fcmp_ordered(">", value, high), high, value)

        return _each(builder, args[0], make)

    return a(a, a.dtype, a.dtype), codegen


@intrinsic
def inside(typingctx, g, a, lo, hi):
    """g where lo < a < hi, else 0"""

    def codegen(context, builder, sig, args):
        vector = args[0].type.element
        low, high, nothing = _splat(builder, args[2], vector), _splat(builder, args[3], vector), ir.Constant(vector, None)

        def make(n):
            value = builder.extract_value(args[1], n)
            within = builder.and_(builder.fcmp_ordered(">", value, low), builder.fcmp_ordered("<", value, high))
            return builder.select(within, builder.extract_value(args[0], n), nothing)

        return _each(builder, args[0], make)

    return g(g, a, g.dtype, g.dtype), codegen


@intrinsic
def stream(typingctx, a, y, j):
    """y.flat[j:] = a, a tile of one row, past the caches."""

    def codegen(context, builder, sig, args):
        tile, y_, j_ = args
        p = builder.bitcast(_pointer(context, builder, sig.args[1], y_, j_), tile.type.element.as_pointer())
        for n in range(tile.type.count):
            store = builder.store(builder.extract_value(tile, n), builder.gep(p, [_const(n)]))
            store.align = BYTES
            store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(a, y, types.int64), codegen


if INTERPRETED:
    import numpy as np

    from .tile import store

    def add(a, b):
        return a + b

    def less(a, b):
        return a - b

    def times(a, b):
        return a * b

    def bound(a, lo, hi):
        return np.minimum(np.maximum(a, lo), hi)

    def inside(g, a, lo, hi):
        return np.where((a > lo) & (a < hi), g, g.dtype.type(0))

    def stream(a, y, j):
        store(a, y, j, 0)
