"""Means and sums of squares of channels in register tiles (kernels/tile.py has the rest)."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import _multiply_add, _read, _row, _splat

__all__ = ["absorb"]


def _tree(values, combine):
    """Neighbours are combined until one is left: twice, four, eight times a number is exact."""
    while len(values) > 1:
        values = [*(combine(a, b) for a, b in zip(values[::2], values[1::2], strict=False)), *values[len(values) // 2 * 2 :]]
    return values[0]


@intrinsic
def absorb(typingctx, mean, squares, rows, j, share, weight):
    """mean and squares, tiles of one row, become those of more pixels: the values at rows[m] + j elements join n earlier ones,
    with share = len(rows) / (n + len(rows)) and weight = n * share.

    Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """
    both = types.UniTuple(mean, 2)

    def codegen(context, builder, sig, args):
        vector = args[0].type.element
        portion, factor = _splat(builder, args[4], vector), _splat(builder, args[5], vector)
        inverse = ir.Constant(vector, [ir.Constant(vector.element, 1 / rows.count)] * vector.count)
        means, spreads = args[0], args[1]
        for v in range(mean.v):
            values = [_read(builder, _row(builder, args[2], m, vector.element, args[3]), vector, v) for m in range(rows.count)]
            centre = builder.fmul(_tree(values, builder.fadd), inverse)
            old, total = builder.extract_value(means, v), builder.extract_value(spreads, v)
            if rows.count > 1:
                parts = [builder.fsub(value, centre) for value in values]
                half = rows.count // 2
                parts = [_multiply_add(builder, b, b, builder.fmul(a, a)) for a, b in zip(parts[:half], parts[half:], strict=True)]
                total = builder.fadd(total, _tree(parts, builder.fadd))
            d = builder.fsub(centre, old)
            total = _multiply_add(builder, builder.fmul(d, d), factor, total)
            means = builder.insert_value(means, _multiply_add(builder, d, portion, old), v)
            spreads = builder.insert_value(spreads, total, v)
        return context.make_tuple(builder, both, (means, spreads))

    return both(mean, squares, rows, types.int64, mean.dtype, mean.dtype), codegen


if INTERPRETED:
    from .tile import fetch

    def absorb(mean, squares, rows, j, share, weight):
        values = fetch(mean, rows, j)
        centre = values.mean(0, keepdims=True)
        d = centre - mean
        return mean + d * share, squares + ((values - centre) ** 2).sum(0, keepdims=True) + d * d * weight
