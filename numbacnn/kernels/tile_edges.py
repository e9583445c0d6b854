"""Register tiles at the edge of a matrix: only the first `count` columns of a tile meet memory (kernels/tile.py has the rest).

put_some(acc, rows, j, count)          rows[m][j : j + count] = acc[m, :count]
acc = plus_some(acc, rows, j, count)   acc[m, :count] += rows[m][j : j + count]
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import INTERPRETED
from .tile import _row, _splat, _write

__all__ = ["plus_some", "put_some"]

_INT32, _BIT = ir.IntType(32), ir.IntType(1)


def _masks(builder, acc, vector, count):
    """For each vector of a row, which of its lanes lie before `count`."""
    lanes = ir.VectorType(_INT32, vector.count)
    bound = _splat(builder, builder.trunc(count, _INT32), lanes)
    return [builder.icmp_signed("<", ir.Constant(lanes, [v * vector.count + n for n in range(vector.count)]), bound) for v in range(acc.v)]


def _masked(builder, name, vector, result, kinds):
    letter = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
    signature = ir.FunctionType(result, kinds)
    return cgutils.get_or_insert_function(builder.module, signature, f"llvm.masked.{name}.v{vector.count}{letter}.p0")


def _vector_pointers(builder, rows, m, acc, vector, j):
    """Pointers to the vectors of the m-th row."""
    p = builder.bitcast(_row(builder, rows, m, vector.element, j), vector.as_pointer())
    return [builder.gep(p, [ir.Constant(ir.IntType(64), v)]) for v in range(acc.v)]


@intrinsic
def put_some(typingctx, acc, rows, j, count):
    """Write the first `count` numbers of acc[m, :] at the address rows[m] + j elements."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        registers = [builder.extract_value(tile, n) for n in range(acc.m * acc.v)]
        with builder.if_else(builder.icmp_signed("<", args[3], ir.Constant(args[3].type, acc.v * vector.count))) as (some, whole):
            with some:
                masks, align = _masks(builder, acc, vector, args[3]), ir.Constant(_INT32, 4)
                write = _masked(builder, "store", vector, ir.VoidType(), [vector, vector.as_pointer(), _INT32, masks[0].type])
                for m in range(acc.m):
                    for v, p in enumerate(_vector_pointers(builder, args[1], m, acc, vector, args[2])):
                        builder.call(write, (registers[m * acc.v + v], p, align, masks[v]))
            with whole:
                for m in range(acc.m):
                    p = _row(builder, args[1], m, vector.element, args[2])
                    for v in range(acc.v):
                        _write(builder, registers[m * acc.v + v], p, v)
        return context.get_dummy_value()

    return types.void(acc, rows, types.int64, types.int64), codegen


@intrinsic
def plus_some(typingctx, acc, rows, j, count):
    """acc[m, :count] += rows[m][j : j + count]; the rest stays."""

    def codegen(context, builder, sig, args):
        tile, vector = args[0], args[0].type.element
        masks, align, nothing = _masks(builder, acc, vector, args[3]), ir.Constant(_INT32, 4), ir.Constant(vector, None)
        read = _masked(builder, "load", vector, vector, [vector.as_pointer(), _INT32, masks[0].type, vector])
        for m in range(acc.m):
            for v, p in enumerate(_vector_pointers(builder, args[1], m, acc, vector, args[2])):
                n = m * acc.v + v
                term = builder.call(read, (p, align, masks[v], nothing))
                tile = builder.insert_value(tile, builder.fadd(builder.extract_value(tile, n), term), n)
        return tile

    return acc(acc, rows, types.int64, types.int64), codegen


if INTERPRETED:
    from .tile_interpreted import _at

    def put_some(acc, rows, j, count):
        for r, line in zip(rows, acc, strict=True):
            _at(r + j * acc.itemsize, min(count, len(line)), acc.dtype)[:] = line[:count]

    def plus_some(acc, rows, j, count):
        acc = acc.copy()
        for r, line in zip(rows, acc, strict=True):
            line[:count] += _at(r + j * acc.itemsize, min(count, len(line)), acc.dtype)
        return acc
