"""Means and sums of squares of channels in register tiles (kernels/tile.py has the rest)."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import Tile, _multiply_add, _read, _row, _splat

__all__ = ["absorb", "fold"]


def _sum(values, plus):
    """Neighbours are added until one is left: the sum of two, four, eight equal numbers is exact."""
    while len(values) > 1:
        values = [*(plus(a, b) for a, b in zip(values[::2], values[1::2], strict=False)), *values[len(values) // 2 * 2 :]]
    return values[0]


def _in_order(operation):
    """With a flag of its own an operation does not get the house's, and LLVM keeps the order of sums."""
    return lambda a, b: operation(a, b, flags=("nsz",))


@intrinsic
def absorb(typingctx, mean, squares, rows, j, share, weight):
    """mean, a tile of one row, and squares, a tile whose rows are added in the end, become those of more pixels: the values at
    rows[m] + j elements join n earlier ones, with share = len(rows) / (n + len(rows)) and weight = n * share.

    Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """
    both = types.Tuple((mean, squares))

    def codegen(context, builder, sig, args):
        vector, plus, minus = args[0].type.element, _in_order(builder.fadd), _in_order(builder.fsub)
        portion, factor = _splat(builder, args[4], vector), _splat(builder, args[5], vector)
        inverse = ir.Constant(vector, [ir.Constant(vector.element, 1 / rows.count)] * vector.count)
        means, sums = args[0], args[1]
        for v in range(mean.v):
            values = [_read(builder, _row(builder, args[2], m, vector.element, args[3]), vector, v) for m in range(rows.count)]
            old, new = builder.extract_value(means, v), builder.fmul(_sum(values, plus), inverse)
            totals = [builder.extract_value(sums, m * mean.v + v) for m in range(squares.m)]
            for m, value in enumerate(values if len(values) > 1 else ()):
                d = minus(value, new)
                totals[m % squares.m] = _multiply_add(builder, d, d, totals[m % squares.m])
            d = minus(new, old)
            totals[0] = _multiply_add(builder, d, builder.fmul(d, factor), totals[0])
            means = builder.insert_value(means, _multiply_add(builder, d, portion, old), v)
            for m, total in enumerate(totals):
                sums = builder.insert_value(sums, total, m * mean.v + v)
        return context.make_tuple(builder, both, (means, sums))

    return both(mean, squares, rows, types.int64, mean.dtype, mean.dtype), codegen


@intrinsic
def fold(typingctx, a):
    """The sum of a's rows, a tile of one row."""
    one = Tile(a.dtype, 1, a.v)

    def codegen(context, builder, sig, args):
        tile = ir.Constant(context.get_value_type(one), ir.Undefined)
        for v in range(a.v):
            values = [builder.extract_value(args[0], m * a.v + v) for m in range(a.m)]
            tile = builder.insert_value(tile, _sum(values, _in_order(builder.fadd)), v)
        return tile

    return one(a), codegen


if INTERPRETED:
    import numpy as np

    from .tile import fetch

    def absorb(mean, squares, rows, j, share, weight):
        values = np.array([fetch(mean, [row], j)[0] for row in rows])
        new = _sum(list(values), np.add)[None] / len(rows)
        squares = squares.copy()
        squares[0] += ((values - new) ** 2).sum(0) + ((new - mean) * ((new - mean) * weight))[0]
        return mean + (new - mean) * share, squares

    def fold(a):
        return a.sum(0, keepdims=True)
